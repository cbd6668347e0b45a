"""Marks that chat formats and prompts give meaning to: a description that holds one speaks in another's name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pdp.registry.scan.finding import Rule, excerpt_of

TAG = Rule(
    "marker.tag",
    "high",
    "A tag that makes text look like orders from the system. A description needs none; read what it encloses.",
)
TURN = Rule("marker.turn", "high", "Marks of a chat format, which begin a turn in another's name. Have it removed.")

_TAG = re.compile(
    r"<\s?/?\s?(?:very[_ -]?)?(?:important|system|secret|hidden|critical|instructions?|admin|assistant|urgent|override|priority|mandatory|"
    r"internal|sys|developer|directives?|information|s|attention|confidential|private|rules?|inject|sudo|root|security|compliance|thinking|tool_call|function_call|"
    r"(?:important|system|hidden|secret|critical|admin|special|additional|internal|new|ai|llm|agent|model|assistant)[_ -]"
    r"(?:instructions?|prompts?|notes?|messages?|info|rules?|directives?|override|only|reminder|notice|context))\b[^<>]{0,80}>"
)
_TURN = re.compile(
    r"<\|[a-z_]{2,24}\|>|<</?sys>>|\[/?(?:inst|system|sys|admin|hidden|secret|internal|important|critical|override|assistant|system[^\]]{1,30})\]|"
    r"(?:^|\n)\s{0,40}#{0,6}\s?\**(?:system|assistant|human|developer)\**\s?:|"
    r"(?:^|\n)\s{0,40}(?:#{1,6}|\*\*|={3,}|-{3,})\s?(?:new |hidden |secret |system |important |special |critical |ai |llm |agent |model |internal |updated ){1,3}"
    r"(?:instructions?|prompt|directives?|rules?|orders?|task|message|override)\b|"
    r"(?:^|[\n.])\s{0,20}(?:begin|end|start) (?:of )?(?:new |hidden |system |secret )*(?:instructions?|prompt|system)\b"
)


def markers(bare: str) -> Iterator[tuple[Rule, str]]:
    """Each rule that holds of a text without hidden characters, in lower case."""
    for rule, shape in ((TAG, _TAG), (TURN, _TURN)):
        if (match := shape.search(bare)) is not None:
            yield rule, excerpt_of(bare, match.start(), match.end())
