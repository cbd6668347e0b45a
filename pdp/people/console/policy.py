"""The page of policy releases, for explainers: proof, signers and forecast votes of each change. The reading is
recorded before anything is shown.

A release is the whole server's, and its texts may name groups and tools of every tenant: on a server with several
tenants a person sees only the verdict, the dates and the signers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.responses import Response

from pdp.core.call.request import ANY_TENANT
from pdp.core.errors import Forbidden, Unsupported
from pdp.core.outcome.released import ReadReleases
from pdp.people.console.visit import Visit
from pdp.people.visibility import place_to_read
from pdp.proof.search import Reader

EXPLAIN = "explain"  # a role of the directory
SHOWN = 40  # codes, calls and groups of one release
_DIRECTORY = "directory."


async def show(visit: Visit) -> Response:
    """GET /policy."""
    person, services = visit.person, visit.console.services
    if EXPLAIN not in person.roles or person.tenant == ANY_TENANT:
        raise Forbidden("console.explainers", "Policy is shown to explainers: members of a group in `explainers`.")
    if services.records is None:
        raise Unsupported("search.off", "This server shows no policy here.")
    async with place_to_read(visit.console.drawing, visit.session.id):
        releases = ReadReleases()
        if services.releases is not None:
            releases = await services.releases.read(services.clock.now_ns())
        await services.records.releases(person.tenant, Reader("", person.account), len(releases.releases))
        return await asyncio.to_thread(_draw, visit, releases)


def _draw(visit: Visit, releases: ReadReleases) -> Response:
    services, tenant = visit.console.services, visit.person.tenant
    return visit.show(
        "policy.html",
        rows=[(each, _parts(each.parts, tenant)) for each in releases.releases],
        problem=releases.problem,
        demanded=services.releases is not None,
        alone=services.tenants == {tenant},
        most=SHOWN,
    )


def _parts(parts: Mapping[str, str], tenant: str) -> list[tuple[str, str]]:
    """The parts of a release for the server and for this tenant alone."""
    named = {part: part for part in parts if not part.startswith(_DIRECTORY)}
    if (own := f"{_DIRECTORY}{tenant}") in parts:
        named["directory"] = own
    return [(name, parts[part]) for name, part in sorted(named.items())]
