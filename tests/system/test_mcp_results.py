"""Results of an enforced MCP server: inspected before its client gets them, cut, or withheld."""

import asyncio
from collections.abc import Iterator
from typing import Any

import mcp_types
import pytest
from served import Served, make_world, served
from support.mcp_servers import LIMIT, VERSIONS, Called, enforced
from test_inspection import TOKEN

from pdp.client.results import WITHHELD

versions = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(make_world(tmp_path_factory.mktemp("s") / "w", {"content": {"max_result_bytes": 4_096}})) as server:
        yield server


@pytest.fixture(autouse=True)
async def limit() -> Any:
    async with asyncio.timeout(LIMIT):
        yield


def saying(text: str) -> Called:
    called = Called()
    called.answers = lambda _ctx, _params: mcp_types.CallToolResult(
        content=[mcp_types.TextContent(type="text", text=text)]
    )
    return called


async def got(monkeypatch: pytest.MonkeyPatch, found: Served, version: str, text: str, **options: Any) -> Any:
    options = {"inspects_results": True, **options}
    async with enforced(monkeypatch, found, version, called=saying(text), **options) as (client, _):
        return await client.call_tool("git_status", {"repo_path": "/src"})


@versions
async def test_a_credential_never_reaches_the_client(
    monkeypatch: pytest.MonkeyPatch, found: Served, version: str
) -> None:
    result = await got(monkeypatch, found, version, f"the key is {TOKEN}.")
    assert (result.is_error, result.content[0].text) == (False, "the key is [credential removed]")
    assert found.records("inspection")[-1]["redactions"] == 1


@versions
async def test_a_result_that_cannot_be_inspected_is_withheld(
    monkeypatch: pytest.MonkeyPatch, found: Served, version: str
) -> None:
    result = await got(monkeypatch, found, version, "x" * 5_000)
    assert (result.is_error, result.content[0].text) == (True, WITHHELD)


@versions
async def test_without_inspection_it_passes_as_it_is(
    monkeypatch: pytest.MonkeyPatch, found: Served, version: str
) -> None:
    before = len(found.records("inspection"))
    result = await got(monkeypatch, found, version, TOKEN, inspects_results=False)
    assert result.content[0].text == TOKEN
    assert len(found.records("inspection")) == before
