"""OPA's own language tests (`v1/test/cases` of its Go module), made into packs that the load gate can judge.

    python tests/conformance/language.py FOLDER

writes the seeded sample of a FOLDER with all of them, which `test_language.py` runs when LANGUAGE_CASES names none.
Packages become packs and base documents become data.org, by name; what a case asks must be one path, as the PDP asks.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SAMPLE = Path(__file__).resolve().parents[1] / "corpora" / "opa" / "cases.jsonl.gz"
SAMPLED = 600
SEED = 20261120
_PACKAGE = re.compile(r"^package\s+([\w.]+)\s*$", re.MULTILINE)
_QUERY = re.compile(r"(data\.[\w.]+) = \w+")


@dataclass(frozen=True)
class Case:
    """One case as both engines are asked it."""

    note: str
    files: Mapping[str, str]
    query: str
    data: Mapping[str, Any]
    document: Any


def read(folder: Path) -> list[dict[str, Any]]:
    """Every case below a folder."""
    texts = (path.read_bytes() for path in sorted(folder.rglob("*.yaml")))
    return [case for text in texts for case in yaml.load(text, Loader=yaml.CSafeLoader)["cases"]]


def sample() -> list[dict[str, Any]]:
    """The cases of the sample."""
    return [json.loads(line) for line in gzip.decompress(SAMPLE.read_bytes()).splitlines()]


def packed(case: Mapping[str, Any]) -> Case | None:
    """The case as packs; None where it asks for something else than one rule about one document."""
    asked = _QUERY.fullmatch(case["query"].strip())
    heads = [_PACKAGE.search(text) for text in case.get("modules") or ()]
    if asked is None or not heads or None in heads:
        return None
    try:
        document = json.loads(case["input_term"]) if "input_term" in case else case.get("input")
    except ValueError:  # a term that is no JSON
        return None
    packages = {head[1]: head[1].replace(".", "_") for head in heads if head}
    data = case.get("data") or {}

    def renamed(text: str) -> str:
        for package in sorted(packages, key=len, reverse=True):
            text = re.sub(rf"\bdata\.{re.escape(package)}\b", f"data.packs\0{packages[package]}", text)
        for key in filter(None, data):
            text = re.sub(rf"\bdata\.{re.escape(key)}\b", f"data.org.{key}", text)
        return text.replace("\0", ".")

    files = {}
    for number, (text, head) in enumerate(zip(case["modules"], heads, strict=True)):
        assert head is not None
        name = packages[head[1]]
        body = f"{text[: head.start()]}package packs.{name}{text[head.end() :]}"
        files[f"packs/{name}/m{number}.rego"] = renamed(body)
    return Case(case["note"], files, renamed(asked[1]), {"org": data}, {} if document is None else document)


def _lines(cases: list[dict[str, Any]]) -> Iterator[str]:
    drawn = random.Random(SEED).sample(range(len(cases)), SAMPLED)
    return (json.dumps(cases[index], ensure_ascii=False) for index in sorted(drawn))


if __name__ == "__main__":
    SAMPLE.parent.mkdir(parents=True, exist_ok=True)
    SAMPLE.write_bytes(gzip.compress("\n".join(_lines(read(Path(sys.argv[1])))).encode(), mtime=0))
