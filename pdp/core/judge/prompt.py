"""Prompts as values: a base text for each prompt, and sections for the tools that they cover. Pure.

`pdp.judge.prompts` loads them from files. Policy pins the digest of a prompt's whole content, so a changed section
makes another prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from pdp.core.bytes.digest import Json, digest
from pdp.core.errors import Fault
from pdp.core.judge.judge_input import JudgeInput

FORMAT = "pdp.judge/3"  # of the rendering around the texts; part of the digests
SECTIONS, MARKER = "{{sections}}", "{{marker}}"  # placeholders of a base text, each once


class UnknownPrompt(Fault):
    """No prompt with this id is loaded."""

    def __init__(self) -> None:
        super().__init__("judge.prompt", "No prompt with this id is loaded; `pdp judge lint` lists those there are.")


@dataclass(frozen=True, slots=True)
class ToolSelector:
    """A selector of tools for a section: every given entry must match the tool, by one of its values. Servers, tools
    and permissions are patterns with `*` for anything."""

    servers: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    sinks: tuple[str, ...] = ()
    annotations: Mapping[str, bool] = field(default_factory=dict)

    def holds(self, judge_input: JudgeInput) -> bool:
        traits = judge_input.traits
        hints = traits.annotations.fact()
        return (
            _any((judge_input.server,), self.servers)
            and _any((judge_input.tool,), self.tools)
            and _any((traits.risk,), self.risks)
            and _any(traits.permissions, self.permissions)
            and _any(traits.sinks, self.sinks)
            and all(hints[name] is required for name, required in self.annotations.items())
        )

    def fact(self) -> dict[str, Json]:
        return {
            "servers": list(self.servers),
            "tools": list(self.tools),
            "risks": list(self.risks),
            "permissions": list(self.permissions),
            "sinks": list(self.sinks),
            "annotations": dict(self.annotations),
        }


def _any(values: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    """Whether some value matches some pattern; true without patterns."""
    return not patterns or any(fnmatchcase(value, pattern) for value in values for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Section:
    """A section: rules of allowed and blocked calls for some tools."""

    id: str
    version: str
    text: str
    rules: tuple[str, ...]  # ids that its text blocks
    applies_to: tuple[ToolSelector, ...]
    prompts: tuple[str, ...] = ()  # ids of the prompts that it belongs to; empty: all

    def belongs_to(self, prompt_id: str) -> bool:
        return not self.prompts or prompt_id in self.prompts

    def applies(self, judge_input: JudgeInput) -> bool:
        return any(way.holds(judge_input) for way in self.applies_to)

    def fact(self) -> dict[str, Json]:
        return {
            "id": self.id,
            "version": self.version,
            "text": self.text,
            "rules": list(self.rules),
            "applies_to": [way.fact() for way in self.applies_to],
        }


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt: a base text with the placeholders `{{sections}}` and `{{marker}}` (the nonce)."""

    id: str
    version: str
    text: str
    rules: tuple[str, ...]
    settings: Mapping[str, Json]  # for the endpoint: temperature, max_tokens, ...
    data_tokens: int  # limit of one call's input, in estimated tokens

    def fact(self) -> dict[str, Json]:
        return {
            "id": self.id,
            "version": self.version,
            "text": self.text,
            "rules": list(self.rules),
            "settings": dict(self.settings),
            "data_tokens": self.data_tokens,
        }


@dataclass(frozen=True, slots=True)
class PromptSet:
    """The loaded prompts and their sections."""

    prompts: Mapping[str, Prompt]
    sections: tuple[Section, ...]
    _sha256: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sha256 = {prompt_id: self._digest(prompt_id) for prompt_id in sorted(self.prompts)}
        object.__setattr__(self, "_sha256", sha256)  # once: every request reads it

    def digests(self) -> Mapping[str, str]:
        """Prompt id → SHA-256 (hex) over its base text, settings and all of its sections."""
        return self._sha256

    def prompt(self, prompt_id: str) -> Prompt:
        """The prompt with an id. Raises UnknownPrompt (`judge.prompt`)."""
        if (prompt := self.prompts.get(prompt_id)) is None:
            raise UnknownPrompt
        return prompt

    def sections_for(self, prompt_id: str, judge_input: JudgeInput) -> tuple[Section, ...]:
        """The sections that apply to the tool of the input, by id."""
        return tuple(section for section in self._sections(prompt_id) if section.applies(judge_input))

    def _sections(self, prompt_id: str) -> tuple[Section, ...]:
        chosen = (section for section in self.sections if section.belongs_to(prompt_id))
        return tuple(sorted(chosen, key=lambda section: section.id))

    def _digest(self, prompt_id: str) -> str:
        sections: Json = [section.fact() for section in self._sections(prompt_id)]
        return digest({"format": FORMAT, "prompt": self.prompts[prompt_id].fact(), "sections": sections})
