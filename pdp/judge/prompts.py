"""Prompts from files: ours (`judge_prompts/`) and, beside them, an organisation's. What is broken never comes in.

    <folder>/
      <prompt>.md              a base prompt
      sections/**/<section>.md what is allowed and blocked for some tools

An organisation adds sections, also for our prompts, and prompts of its own; it cannot replace ours, since an id
stands for one file. README.md may explain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pdp.core.errors import BundleFault, ConfigurationFault
from pdp.core.judge.prompt import Prompt, PromptSet, Section
from pdp.files.trusted_files import Folder
from pdp.judge.lint import PromptFile, PromptSource, SectionFile, by_place, problems_of
from pdp.judge.prompt_parser import ERROR, PromptHead, PromptProblem, SectionHead, read_file

SECTIONS = "sections/"
_SHOWN = 5  # problems in a message


def shipped_prompts() -> Path:
    """The folder of the shipped prompts: package data when installed from a wheel, `judge_prompts/` otherwise."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_judge_prompts"
    return installed if installed.is_dir() else package.parent / "judge_prompts"


@dataclass(frozen=True, slots=True)
class PromptFolders:
    """The contents of the folders. `prompts` is None when a problem is an error."""

    prompts: PromptSet | None
    problems: tuple[PromptProblem, ...]


def read_prompts(shipped: Path, organisation: Path | None) -> PromptFolders:
    """Read and lint both folders. Never raises; folders that others may write are a problem like any other."""
    prompts: list[PromptFile] = []
    sections: list[SectionFile] = []
    problems: list[PromptProblem] = []
    for root, name in ((shipped, "judge_prompts"), (organisation, "")):
        if root is not None:
            problems += _read_folder(root, name, prompts, sections)
    problems += problems_of(prompts, sections)
    sorted_problems = by_place(dict.fromkeys(problems))
    good = not any(problem.severity == ERROR for problem in sorted_problems)
    return PromptFolders(_prompt_set(prompts, sections) if good else None, sorted_problems)


def _read_folder(
    root: Path, name: str, prompts: list[PromptFile], sections: list[SectionFile]
) -> list[PromptProblem]:
    """Files of an organisation are called by their path, ours with our folder's name before it."""
    title = name or "the folder of prompts"
    try:
        folder = Folder(root, title)
        paths = folder.files()
    except BundleFault as fault:
        return [PromptProblem(title, 0, "prompts.folder", fault.message)]
    problems = []
    for path in paths:
        if path.rpartition("/")[2] == "README.md":
            continue
        shown = f"{name}/{path}" if name else path
        try:
            text = folder.read(path).decode()
        except BundleFault as fault:
            problems.append(PromptProblem(shown, 0, "prompts.folder", fault.message))
        except UnicodeDecodeError:
            problems.append(PromptProblem(shown, 0, "prompts.folder", "is not UTF-8 text; save it as UTF-8."))
        else:
            problems += _read_one(path, shown, text, prompts, sections)
    return problems


def _read_one(
    path: str, shown: str, text: str, prompts: list[PromptFile], sections: list[SectionFile]
) -> list[PromptProblem]:
    if not path.endswith(".md") or ("/" in path and not path.startswith(SECTIONS)):
        what = "has no place here; the folder holds <prompt>.md and sections/<section>.md."
        return [PromptProblem(shown, 0, "prompts.folder", what)]
    if path.startswith(SECTIONS):
        section, body, problems = read_file(shown, text, SectionHead)
        if section is not None and body is not None:
            sections.append(PromptSource(shown, section, body))
        return problems
    prompt, body, problems = read_file(shown, text, PromptHead)
    if prompt is not None and body is not None:
        prompts.append(PromptSource(shown, prompt, body))
    return problems


def _prompt_set(prompts: list[PromptFile], sections: list[SectionFile]) -> PromptSet:
    return PromptSet(
        prompts={
            file.head.id: Prompt(
                id=file.head.id,
                version=file.head.version,
                text=file.body.text.strip(),
                rules=tuple(rule for rule, _ in file.body.rules),
                settings=file.head.endpoint_settings(),
                data_tokens=file.head.data_tokens,
            )
            for file in prompts
        },
        sections=tuple(
            Section(
                id=file.head.id,
                version=file.head.version,
                text=file.body.text.strip(),
                rules=tuple(rule for rule, _ in file.body.rules),
                applies_to=tuple(way.value() for way in file.head.applies_to),
                prompts=tuple(file.head.prompts or ()),
            )
            for file in sections
        ),
    )


class LoadedPrompts:
    """The prompts in use: the last without errors."""

    def __init__(self, organisation: Path | None, shipped: Path | None = None) -> None:
        """Raises ConfigurationFault `judge.prompts` when the first reading has errors."""
        self._folders = (shipped or shipped_prompts(), organisation)
        read = read_prompts(*self._folders)
        if read.prompts is None:
            raise ConfigurationFault("judge.prompts", _message(read.problems))
        self.current = read.prompts

    def digests(self) -> Mapping[str, str]:
        """Prompt id to SHA-256 of what is in use now."""
        return self.current.digests()

    def reload(self) -> tuple[str, ...]:
        """Look at the files again; returns what is wrong, empty when nothing is. Then what was good stays. It reads
        files: not for the event loop."""
        read = read_prompts(*self._folders)
        if read.prompts is not None:
            self.current = read.prompts
            return ()
        return tuple(str(problem) for problem in read.problems if problem.severity == ERROR)


def _message(problems: tuple[PromptProblem, ...]) -> str:
    errors = [str(problem) for problem in problems if problem.severity == ERROR]
    more = f" (and {len(errors) - _SHOWN} more)" if len(errors) > _SHOWN else ""
    return f"judge prompts: {' '.join(errors[:_SHOWN])}{more} `pdp judge lint` shows all."
