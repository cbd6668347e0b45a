"""Random packs that try to loosen an answer by what a caller asserted; whatever the load gate says of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

# what a caller says, compared in every way that an author may think of; `helped` and `denied` are helpers of the pack
_SAYS = (
    "is_string(input.asserted.observation)",
    "input.asserted.client_address == trusted",
    "input.asserted.client_address != trusted",
    "input.asserted.task == null",
    "input.asserted.task != null",
    "input.asserted.protocol_version < trusted",
    "count(input.asserted.extra) - most >= 0",
    "count(object.keys(input.asserted.extra)) * 2 > most",
    'object.get(input.asserted.extra, "allow", false) == true',
    '"x" in object.keys(input.asserted.extra)',
    "count([1 | some _ in input.asserted.client_capabilities]) < most",
    "said(input.asserted)",
    "every _, value in input.asserted.extra { value != null }",
)
_NUMBERS = (
    "count(input.asserted.extra) + 1",
    "count(object.keys(input.asserted.client_capabilities)) + most",
    "max({1, most - count(input.asserted.extra)})",
    "count([1 | some _, value in input.asserted.extra; value != null]) + 1",
)
_PACK = """package packs.{name}
meta := {{"servers": ["git"], "owner": "o"}}
trusted := "10.0.0.1"
most := 1
mine if input.session.task == "{name}"
said(asserted) if asserted.observation != null
said(asserted) if asserted.parent_session != null
helped if {helped}
unhelped if not helped
waiting := {{
	"kind": "approval", "control": "", "stage": 1, "ttl_seconds": 60,
	"seats": [{{"group_id": "security", "n": 1}}], "deny_quorum": 1, "reason_required": false,
}}
{rules}
"""


class Packs:
    """Packs by name, the same for the same seed. Each takes part in calls whose task is its name."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._count = 0

    def draw(self, count: int) -> dict[str, str]:
        """As many new ones."""
        made = {}
        for _ in range(count):
            self._count += 1
            name = f"p{self._count}"
            rules = "\n".join(self._rules())
            made[name] = _PACK.format(name=name, helped=self._says(), rules=rules)
        return made

    def _says(self) -> str:
        said = self._random.choice(_SAYS)
        plain = self._random.random() < 0.5 or said.startswith("every")
        return said if plain else f"not {said}"

    def _condition(self) -> str:
        return self._random.choice((self._says, lambda: "helped", lambda: "unhelped", lambda: "not unhelped"))()

    def _rules(self) -> Iterator[str]:
        kinds: tuple[Callable[[str], str], ...] = (
            self._allow, self._hide, self._deny, self._deny, self._require, self._oblige, self._label
        )  # fmt: skip
        for number in range(self._random.randint(2, 4)):
            yield self._random.choice(kinds)(f"c{number}")

    def _allow(self, code: str) -> str:
        return f"allow contains {self._about(code)}"

    def _hide(self, code: str) -> str:
        return f"hide contains {self._about(code)}"

    def _about(self, code: str) -> str:
        element = f'{{"target": t.key, "code": "{code}"}}'
        return f"{element} if {{ mine; some t in input.targets; {self._condition()} }}"

    def _deny(self, code: str) -> str:
        return f'deny contains {{"code": "{code}", "message": ""}} if {{ mine; {self._condition()} }}'

    def _require(self, code: str) -> str:
        if self._random.random() < 0.5:
            return (
                f'require contains object.union(waiting, {{"id": "{code}", "code": "{code}"}}) if '
                f"{{ mine; {self._condition()} }}"
            )
        varied = self._random.choice(
            ('"stage": n', '"ttl_seconds": n', '"seats": [{"group_id": "security", "n": n}]')
        )
        return (
            f'require contains object.union(waiting, {{"id": "{code}", "code": "{code}", {varied}}}) if '
            f"{{ mine; n := {self._random.choice(_NUMBERS)} }}"
        )

    def _oblige(self, code: str) -> str:
        if self._random.random() < 0.5:
            return f'oblige contains {{"kind": "redact", "code": "{code}"}} if {{ mine; {self._condition()} }}'
        number = self._random.choice(_NUMBERS)
        return f'oblige contains {{"kind": "redact", "code": "{code}", "most": n}} if {{ mine; n := {number} }}'

    def _label(self, code: str) -> str:
        return f'label contains {{"label": "public", "code": "{code}"}} if {{ mine; {self._condition()} }}'
