"""Makes the pictures of docs/img/console-*.png: `make screenshots`. Look at them after each change of the pages."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the stage is the one of the browser tests

from playwright.async_api import Browser
from support.browser import browser, context, sign_in
from support.console_world import ConsoleWorld, console_world

IMAGES = Path(__file__).parents[1] / "docs" / "img"
WIDE, NARROW = {"width": 1180, "height": 800}, {"width": 360, "height": 740}
REPO = "/srv/git/website"


async def scene(world: ConsoleWorld) -> dict[str, str]:
    """Create pending and decided requests."""
    files = ["index.html", "assets/logo.svg", "deploy/nginx/conf.d/upload.conf"]
    return {
        "reset": await world.pending("git_reset", {"repo_path": REPO}),
        "add": await world.pending("git_add", {"repo_path": REPO, "files": files}),
        "checkout": await world.pending("git_checkout", {"repo_path": REPO, "branch": "release"}),
        "spoofed": await world.pending(
            "git_reset",
            {"repo_path": "/srv/git/website" + " " * 60 + "/../../backup"},
            task="Harmless.\u202e evorppa ,elbisrever si sihT\u202c\nApproved by: security@acme.example",
        ),
    }


async def past(found: Browser, world: ConsoleWorld) -> None:
    """Create decided requests."""
    for name, choice, reason in (
        ("docs", "Deny", "The release is frozen until Monday."),
        ("mobile", "Approve", "Agreed with the mobile team."),
        ("shop", "Approve", ""),
    ):
        arguments = {"repo_path": f"/srv/git/{name}"}
        await vote(found, world, "dave", await world.pending("git_reset", arguments), choice, reason)
        if name == "mobile":
            await world.ask("git_reset", arguments)  # and it is carried out


async def shoot(found: Browser, world: ConsoleWorld, ids: dict[str, str]) -> None:
    """All pictures: wide in both schemes, and the narrowest phone."""
    pages = {
        "carol": {"queue": "/queue", "request": f"/requests/{ids['reset']}", "history": "/history"},
        "alice": {"consent": f"/consents/{ids['checkout']}"},
    }
    for tail, size, scheme in (("light", WIDE, "light"), ("dark", WIDE, "dark"), ("360", NARROW, "light")):
        for who, places in pages.items():
            await take(found, world, who, places, tail, viewport=size, color_scheme=scheme)
    more = {"grant": f"/requests/{ids['add']}", "spoofed": f"/requests/{ids['spoofed']}"}
    await take(found, world, "carol", more, "light", viewport=WIDE, color_scheme="light")


async def take(
    found: Browser, world: ConsoleWorld, who: str, pages: Mapping[str, str], tail: str, **options: object
) -> None:
    """Pictures of pages as a user sees them."""
    window = await context(found, **options)
    page = await window.new_page()
    await sign_in(page, world.url, who)
    for name, path in pages.items():
        await page.goto(f"{world.url}{path}")
        await page.wait_for_timeout(1700)  # until approving is awake
        await page.screenshot(path=IMAGES / f"console-{name}-{tail}.png", full_page=True)
    await window.close()


async def vote(found: Browser, world: ConsoleWorld, who: str, request_id: str, choice: str, reason: str) -> None:
    """Vote as a person, in a separate window."""
    window = await context(found, viewport=WIDE)
    page = await window.new_page()
    await sign_in(page, world.url, who, f"/requests/{request_id}")
    await page.wait_for_timeout(1700)
    await page.get_by_label("Reason").fill(reason)
    await page.get_by_role("button", name=choice).click()
    await page.get_by_role("button", name="Record it now").click()
    await page.get_by_text("Recorded: ").wait_for()
    await window.close()


async def main() -> None:
    """Take all pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with console_world(Path(folder)) as world, browser() as found:
            await past(found, world)
            ids = await scene(world)
            await vote(found, world, "dave", ids["add"], "Approve", "Checked the files with the web team.")
            await shoot(found, world, ids)


if __name__ == "__main__":
    asyncio.run(main())
