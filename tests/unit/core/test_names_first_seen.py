"""Names in decisions: which hosts and folders arguments hold, and whose calls teach them."""

from typing import Any

import pytest

from pdp.core.call.registered import Interpreter
from pdp.core.record.first_seen import Named, carried_out, folder, named, reached

# what a tool is given, at a place without a declared kind or with one, and the hosts and folders in it
PLACES: list[tuple[str, str, list[str], list[str]]] = [
    ("", "https://api.example/v1?u=https://other.example", ["api.example"], []),
    ("", "HTTPS://User:secret@API.Example.:8443/x", ["api.example"], []),
    ("", "\n ht\ttps:\\\\evil.example\\x", ["evil.example"], []),
    ("", "http:evil.example", ["evil.example"], []),
    ("", "https:/evil.example/x", ["evil.example"], []),
    ("", "http://[2001:db8::1]:80/", ["2001:db8::1"], []),
    ("", "http://[::ffff:192.0.2.1]/", ["192.0.2.1"], []),
    ("", "http://ev%69l.example/", ["evil.example"], []),
    ("", "http://ёvil.example:80/", ["ёvil.example"], []),
    ("", "http://0x7f.1/", ["0x7f.1"], []),
    ("", "ssh://git@code.example/x", ["code.example"], []),
    ("", "http://intranet/x", ["intranet"], []),
    ("", "file:///srv/a%2fb/c/d/e.txt", [], ["/srv/a/b"]),
    ("", "file:/etc/passwd", [], ["/etc"]),
    ("", "see https://not.read/ in prose", [], []),
    ("", "/etc/passwd", [], []),
    ("", "evil.example", [], []),
    ("", "urn:isbn:1", [], []),
    ("", "https://", [], []),
    ("", f"https://{'x' * 999}.example", [f"{'x' * 999}.example"], []),
    ("network", "evil.example", ["evil.example"], []),
    ("network", "//evil.example/x", ["evil.example"], []),
    ("network", "u@evil.example:443/x?y", ["evil.example"], []),
    ("network", "192.0.2.7", ["192.0.2.7"], []),
    ("network", "vault:8200", ["vault"], []),
    ("network", "hello", [], []),
    ("network", "some text for it", [], []),
    ("network", "\thttps://evil.example/", ["evil.example"], []),
    ("path", " https://evil.example/x", ["evil.example"], []),
    ("url", "evil.example/x", ["evil.example"], []),
    ("email", "Eve <eve@Evil.example>, bob@acme.example", ["acme.example", "evil.example"], []),
    ("path", "/home/alice/docs/taxes/2026.pdf", [], ["/home/alice/docs"]),
    ("filesystem", "C:\\Users\\alice\\x.txt", [], ["C:/Users/alice"]),
    ("filesystem", "", [], []),
    ("filesystem", "https://store.example/x", ["store.example"], []),
    ("process", "evil.example", [], []),
]


def document(value: object, *sinks: dict[str, str]) -> dict[str, Any]:
    return {"arguments": {"value": value}, "server": {"id": "files"}, "targets": [{"sinks": list(sinks)}]}


def places(found: list[Named], sort: str) -> list[str]:
    assert all(each.name[0] == "files" for each in found if each.sort == "path")
    return sorted({each.name[-1] for each in found if each.sort == sort})


def test_hosts_and_folders_of_arguments() -> None:
    wrong = []
    for kind, text, hosts, folders in PLACES:
        arguments = {"a": {"b": ["", text]}, "c": 1}
        sink = [{"kind": kind, "argument": "/a/b"}] if kind in {"network", "email", "filesystem", "process"} else []
        reads = [Interpreter(kind, "/a/b")] if kind in {"url", "path"} else []
        found = list(reached(document(arguments, *sink), reads))
        if (places(found, "host"), places(found, "path")) != (hosts, folders):
            wrong.append((kind, text, found))
    assert wrong == []


def test_a_sink_as_a_whole_and_one_that_is_not_there_name_no_place() -> None:
    sinks = [{"kind": "filesystem", "argument": argument} for argument in ("", "/b", "/a/b")]
    assert list(reached(document({"a": "/srv/x"}, *sinks), ())) == []


def test_items_of_a_list_count_whatever_their_place() -> None:
    files = {"files": [{"p/q": "/a/x"}, {"p/q": "/b/x"}]}
    found = reached(document(files), [Interpreter("path", "/files/-/p~1q")])
    assert places(list(found), "path") == ["/a", "/b"]


@pytest.mark.parametrize(
    ("path", "first"),
    [
        ("/a/b/c/d/e", "/a/b/c"),
        ("/a/b/c/", "/a/b/c"),
        ("/a/./x/../b/f", "/a/b"),
        ("//a//f", "/a"),
        ("/f", "/"),
        ("f", ""),
        ("./f", ""),
        ("../../f", "../.."),
        ("~/docs/f", "~/docs"),
    ],
)
def test_the_first_folders(path: str, first: str) -> None:
    assert folder(path) == first


def record(**more: Any) -> dict[str, Any]:
    return {
        "kind": "decision",
        "effect": "allow",
        "enforcement": "enforced",
        "server": {"id": "git", "status": "ok", "code": ""},
        "target": {"key": "tool:x", "status": "ok", "code": ""},
        "agent": {"id": "a", "kind": "actor", "status": "ok", "code": ""},
        **more,
    }


ALL = [("server", ("git",), "ok"), ("target", ("git", "tool:x"), "ok"), ("agent", ("actor", "a"), "ok")]
UNKNOWN = {"id": "made up", "status": "failed", "code": "server.unknown"}


@pytest.mark.parametrize(
    ("made", "through", "wanted"),
    [
        (record(), True, ALL),
        (record(effect="deny"), False, []),
        (record(effect="pending"), False, []),
        (record(effect="deny", enforcement="observed"), True, ALL),
        (record(kind="list"), False, []),
        (record(agent={"id": None, "kind": "unknown", "status": "missing", "code": "agent.missing"}), True, ALL[:2]),
        (record(effect="deny", server=UNKNOWN), False, [("server", ("made up",), "server.unknown")]),
        (record(kind="list", server=UNKNOWN, target=None), False, [("server", ("made up",), "server.unknown")]),
        (
            record(effect="deny", agent={"id": "forged", "kind": "actor", "status": "failed", "code": "agent.x"}),
            False,
            [],
        ),
    ],
)
def test_names_of_a_record(made: dict[str, Any], through: bool, wanted: list[Any]) -> None:
    assert carried_out(made) is through
    assert [(each.sort, each.name, each.check) for each in named(made)] == wanted
