"""What stands in the texts of arguments. Names in arguments are the caller's words too, so JSON Pointers (RFC 6901)
show only harmless ones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from pdp.content.steering import steered
from pdp.core.bytes import json_pointer
from pdp.core.bytes.digest import Json
from pdp.core.bytes.schema import Path, undeclared
from pdp.core.call.facts import Finding
from pdp.core.call.registered import Interpreter
from pdp.core.text.credentials import OwnToken, kinds_in, secret_in
from pdp.core.text.patterns import hidden_in

MAX_PER_KIND = 16  # more of one kind tell policy nothing new
_SHORTEST = 12  # no credential format is shorter
_PLAIN = re.compile(r"[A-Za-z_$@][A-Za-z0-9_.$:-]{0,63}\Z")  # no address of mail
# an access key, an account, a card, in one word no shorter; or a person's number that begins with a letter
CODED = re.compile(r"[A-Z0-9]{15}|\b[A-Z]{1,2}[0-9]{6,8}[A-Z]\b")
MASK = "*"  # stands for a name that is not shown


def pointer(path: Iterable[str | int], shown: Callable[[str], bool]) -> str:
    """Encode a path; names for which `shown` is false become `*`."""
    return "".join(f"/{_segment(part, shown)}" for part in path)


def harmless(name: str) -> bool:
    """A name that looks like one and holds no credential, account, address of mail or number of a person."""
    return _PLAIN.match(name) is not None and CODED.search(name) is None and secret_in(name) is None


def _segment(part: str | int, shown: Callable[[str], bool]) -> str:
    if isinstance(part, int):
        return str(part)
    return json_pointer.step(part) if shown(part) else MASK


def text_findings(
    value: Mapping[str, Json],
    interpreters: Sequence[Interpreter],
    own: tuple[OwnToken, ...],
    personal: tuple[str, ...] | None = None,
) -> tuple[Finding, ...]:
    """What stands in the texts, whatever reads them: credentials, hidden characters, files that steer, and where
    countries are given personal data; at most `MAX_PER_KIND` of a kind. Pure, and may take long."""
    findings = tuple(_of_texts(value, interpreters, own))
    if personal is not None:
        findings = (*findings, *_personal(value, personal))
    return _distinct(findings) if len(findings) > 1 else findings


def _personal(value: Mapping[str, Json], countries: tuple[str, ...]) -> Iterator[Finding]:
    from pdp.content.personal import KIND, found_in  # noqa: PLC0415 - where an organisation has it looked for

    for path, text in texts(value):
        named = next((part for part in reversed(path) if isinstance(part, str)), "")
        for detail in found_in(text, named, countries):
            yield Finding(KIND, pointer(path, harmless), detail)


def guard_findings(
    value: Mapping[str, Json], interpreters: Sequence[Interpreter], hosts: Sequence[str]
) -> tuple[Finding, ...]:
    """What guards find for the interpreters; `hosts` are those that the organisation lists. Pure, and may take
    long."""
    from pdp.content.guards.run import guarded  # noqa: PLC0415 - for tools whose arguments something reads

    judged = (
        Finding(kind, pointer(path, harmless), code) for kind, path, code in guarded(value, interpreters, hosts)
    )
    return tuple(dict.fromkeys(judged))


def _distinct(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, at most `MAX_PER_KIND` of each kind."""
    every = tuple(found)
    if len(every) < 2:
        return every
    distinct: dict[Finding, None] = {}
    counts: Counter[str] = Counter()
    for finding in every:
        if finding not in distinct and counts[finding.kind] < MAX_PER_KIND:
            counts[finding.kind] += 1
            distinct[finding] = None
    return tuple(distinct)


def undeclared_findings(value: Mapping[str, Json], schema: Json) -> tuple[Finding, ...]:
    """The members that a pinned schema does not declare: `undeclared` where it declares others, `unnamed` where it
    takes whatever comes; at most `MAX_PER_KIND` of each."""
    if _plainly_declared(value, schema):
        return ()
    return _distinct(
        Finding("undeclared" if named else "unnamed", pointer(path, harmless))
        for path, named in undeclared(schema, value)
    )


_COMMANDS = frozenset({"command", "commands", "cmd", "script", "shell_command"})  # names of arguments that are ones


def _of_texts(
    value: Mapping[str, Json], interpreters: Sequence[Interpreter], own: tuple[OwnToken, ...]
) -> Iterator[Finding]:
    shells = tuple([each.argument for each in interpreters if each.kind == "shell"]) if interpreters else ()
    for path, text in texts(value):
        command = not _COMMANDS.isdisjoint(path)
        command = command or (shells != () and pointer(path, lambda _: True).startswith(shells))
        for detail in steered(text, command=command):
            yield Finding("steering", pointer(path, harmless), detail)
        if len(text) >= _SHORTEST:
            for kind, name in kinds_in(text, own):
                yield Finding(kind, pointer(path, harmless), name)
        if not text.isascii() or not text.isprintable():
            for name in hidden_in(text):
                yield Finding("hidden_unicode", pointer(path, harmless), name)


_SCALARS = frozenset({type(None), bool, str, int, float})  # of JSON


def _plainly_declared(value: Mapping[str, Json], schema: Json) -> bool:
    """Whether flat arguments all stand among the schema's own `properties`: then there is nothing to look for."""
    named = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(named, Mapping) or not value.keys() <= named.keys():
        return False
    return _SCALARS.issuperset(map(type, value.values()))


def texts(root: Json) -> Iterator[tuple[Path, str]]:
    """Every text with its path; a name in an object counts as text that stands where its member does."""
    pending: list[tuple[Path, Json]] = [((), root)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, Mapping):
            for key, member in value.items():
                yield (*path, key), key
                pending.append(((*path, key), member))
        elif isinstance(value, list):
            pending.extend(((*path, i), member) for i, member in enumerate(value))
