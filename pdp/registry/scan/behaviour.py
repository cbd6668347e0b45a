"""What a definition says of its own behaviour, held against its name; and parameters no tool needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pdp.core.digest import Json
from pdp.registry.scan.finding import Rule

READ_ONLY = Rule(
    "behaviour.read_only",
    "high",
    "It says `readOnlyHint`, its name says that it destroys or writes. Believe neither; ask, and set the review.",
)
HARMLESS = Rule(
    "behaviour.harmless",
    "high",
    "It says `destructiveHint: false`, its name says that it destroys. Ask, and set the review.",
)
CONTRARY = Rule("behaviour.contrary", "high", "It says of itself that it only reads, and that it destroys.")
CLOSED = Rule("behaviour.closed_world", "medium", "It says `openWorldHint: false`, its name says that it reaches out.")
SAYS_READ = Rule(
    "behaviour.says_read_only",
    "high",
    "It says that it only reads, and offers a way to write. Believe neither; ask, and set the review.",
)
TITLE = Rule("behaviour.title", "high", "Its title says another thing than its name: people approve titles.")
PROBE = Rule(
    "parameter.probe",
    "high",
    "A parameter that asks for the model's context, its prompt, its other tools or a secret: what is filled in "
    "leaves with the call. Have it removed, or see what it is for.",
)
PROBE_TEXT = Rule("parameter.asks", "high", PROBE.help)

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_DESTROYS = frozenset(
    "delete remove drop purge erase destroy wipe truncate kill terminate uninstall revoke format unlink rm shred".split()
)
_WRITES = frozenset(
    "write create update insert send post put patch edit move rename upload install deploy publish append replace "
    "overwrite transfer pay buy commit push merge grant set add exec execute".split()
)
_READS = frozenset("get list read search find fetch query show view describe count check lookup look browse".split())
_REACHES = frozenset("send post publish upload fetch download email mail browse tweet".split())
_MODES = frozenset("dry preview plan simulate validate check history log logs status deleted removed".split())

_PROBES = re.compile(
    r"(?:^| )(?:(?:llm|ai|agent|assistant|language) (?:model )?(?:name|id|version|model|identity)|llm model name|"
    r"system (?:prompt|message|instructions?)|(?:conversation|chat|dialog|dialogue|message|prompt|interaction|session) (?:history|log|logs|context|transcript|dump)|"
    r"(?:available |other |all |agent )?tools? (?:list|names?|call history|calls history|inventory|definitions?)|list of tools|available tools|"
    r"chain of thought|users? (?:passwords?|credentials?|credit cards?|private keys?|ssh keys?|secrets?)|ssn|seed phrase|mnemonic|side ?notes?|"
    r"env(?:ironment)? (?:vars?|variables?|dump)|(?:full|entire|previous|prior) (?:context|conversation|prompt|messages?|chat)|internal (?:thoughts?|reasoning|notes?)|"
    r"(?:hidden|debug|exfil|secret|security|auth|validation|telemetry) (?:context|data|payload|notes?|dump|info))$"
)
_PROBE_TEXT = re.compile(
    r"(?:name|version|identity|identifier|id) of (?:the |your )*(?:llm|ai|language|current|calling|underlying)[^.]{0,20}(?:model|agent|assistant)|"
    r"(?:llm|ai|language) model (?:that|which|who) (?:calls?|is calling|uses?|is using|invokes?|runs?)|"
    r"(?:your|the models?|the agents?|the assistants?) (?:system prompt|chain of thought|instructions|internal reasoning|hidden)|"
    r"(?:full|entire|complete|whole|verbatim) (?:conversation|chat|message|prompt|context|dialogue)"
)


_SAYS_READ = re.compile(r"\bread ?-?only\b")
_OFFERS_WRITE = re.compile(
    r"\b(?:write|delete|destructive|overwrite|modify|update) mode\b|\b(?:allow|enable|permit|perform|support)(?:s|ing)? (?:write|delete|destructive|modif)\w*|"
    r"\bwrite ?-?back\b"
)


def contradicts_itself(folded: str) -> str | None:
    """A text that says it only reads and offers writing."""
    offer = _OFFERS_WRITE.search(folded)
    return offer[0] if offer is not None and _SAYS_READ.search(folded) else None


def contradictions(definition: Mapping[str, Json]) -> Iterator[tuple[Rule, str, str]]:
    """Rule, pointer and what contradicts what."""
    name = str(definition.get("name", ""))
    said = definition.get("annotations")
    hints: Mapping[str, Json] = said if isinstance(said, Mapping) else {}
    verbs = _verbs(name)
    harms, writes = verbs & _DESTROYS, verbs & (_DESTROYS | _WRITES)
    if hints.get("readOnlyHint") is True:
        if writes:
            yield READ_ONLY, "/annotations/readOnlyHint", f"readOnlyHint: true, but `{min(writes)}`"
        if hints.get("destructiveHint") is True:
            yield CONTRARY, "/annotations/destructiveHint", "readOnlyHint: true, destructiveHint: true"
    elif harms and hints.get("destructiveHint") is False:
        yield HARMLESS, "/annotations/destructiveHint", f"destructiveHint: false, but `{min(harms)}`"
    if hints.get("openWorldHint") is False and verbs & _REACHES & frozenset({"tweet", "email", "mail", "publish"}):
        yield CLOSED, "/annotations/openWorldHint", f"openWorldHint: false, but `{min(verbs & _REACHES)}`"
    yield from _titles(definition, hints, name)


def _titles(
    definition: Mapping[str, Json], hints: Mapping[str, Json], name: str
) -> Iterator[tuple[Rule, str, str]]:
    for pointer, title in (("/title", definition.get("title")), ("/annotations/title", hints.get("title"))):
        if not isinstance(title, str):
            continue
        named, titled = _verbs(name), _verbs(title)
        if named & (_DESTROYS | _WRITES) and titled & _READS and not titled & (_DESTROYS | _WRITES) and not named & _READS:
            yield TITLE, pointer, f"named `{min(named & (_DESTROYS | _WRITES))}`, titled `{min(titled & _READS)}`"


def probe(property_name: str) -> bool:
    """Whether a parameter's name asks for what only the model or the user has."""
    return _PROBES.search(" ".join(word.lower() for word in _WORDS.findall(property_name))) is not None


def asks(folded: str) -> str | None:
    """What a description asks to be filled in, if it is the model's own."""
    match = _PROBE_TEXT.search(folded)
    return match[0] if match is not None else None


def _verbs(name: str) -> frozenset[str]:
    """The leading verb, and a later one after `and` or `or`; none when the name is of a preview or a record."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or _MODES & set(words):
        return frozenset()
    verbs = {words[0]}
    if len(words) > 1 and words[0] not in _READS | _WRITES | _DESTROYS:
        verbs.add(words[1])  # `files_delete`, `git_reset`: the server's name comes first
    verbs.update(after for before, after in zip(words, words[1:], strict=False) if before in ("and", "or"))
    return frozenset(verbs)
