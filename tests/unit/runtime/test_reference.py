"""The example of every setting: complete, fresh, valid, and every key explained."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import yaml
from click.testing import CliRunner
from pydantic import TypeAdapter
from support.for_each import for_each

from devtools.config_reference import bounds, descriptions, example, keys, kind, section
from pdp.cli.config import config
from pdp.host.model_shapes import Model, shape
from pdp.runtime.config import settings
from pdp.runtime.config.reference import DESCRIPTIONS, EXAMPLE
from pdp.runtime.config.settings import Settings
from pdp.runtime.config.sources import read_yaml

FILE = EXAMPLE


def sections(model: Model, above: str = "") -> Iterator[tuple[str, Model]]:
    yield above, model
    for name, field in keys(model):
        for inner in shape(field.annotation).models:
            yield from sections(inner, f"{above}.{name}".lstrip("."))


ALL = list(sections(Settings))


def test_file_is_fresh() -> None:
    assert FILE.read_text() == example(Settings), "run `make generated`"
    assert DESCRIPTIONS.read_text() == descriptions(Settings), "run `make generated`"


def test_command_prints_it() -> None:
    done = CliRunner().invoke(config, ["example"])
    assert (done.exit_code, done.output) == (0, example(Settings))


def test_it_is_valid_as_it_stands() -> None:
    found = settings.validate(read_yaml(FILE.read_text(), FILE.name), Path("/etc/pdp"))
    assert found.production
    assert found.policy.folder == Path("/etc/pdp/policy")


def test_it_shows_the_defaults_where_it_shows_no_example() -> None:
    found = settings.validate(read_yaml(FILE.read_text(), FILE.name), Path("/"))
    for name in ("server", "sessions", "content"):
        assert getattr(found, name) == type(getattr(found, name))(), name


@for_each(("path", "model"), ALL)
def test_every_section_alone_is_valid(path: str, model: Model) -> None:
    del path
    TypeAdapter(model).validate_python(yaml.safe_load(section(model)))


@for_each(("path", "model"), ALL)
def test_every_key_says_what_it_means(path: str, model: Model) -> None:
    plain = [
        name for name, field in keys(model) if shape(field.annotation).holds != "section" and not field.description
    ]
    assert plain == [], f"{path}: give Field(description=...)"


@for_each(("path", "model"), ALL)
def test_every_key_is_shown(path: str, model: Model) -> None:
    del path
    text = example(Settings)
    assert [name for name, _ in keys(model) if f"{name}:" not in text and f"`{name}`:" not in text] == []


def test_commented_sections_are_valid_once_uncommented() -> None:
    lines = FILE.read_text().splitlines()
    start = lines.index("# vault:")
    commented = takewhile(lambda line: line.startswith("#"), lines[start:])
    block = "\n".join(line.removeprefix("# ").removeprefix("#") for line in commented)
    found = settings.validate({**yaml.safe_load(FILE.read_text()), **yaml.safe_load(block)}, Path("/etc/pdp"))
    assert found.vault is not None
    assert found.vault.token == "file:/etc/pdp/secrets/vault.token"


def test_bounds_and_types_in_words() -> None:
    fields = dict(keys(settings.ServiceOptions))
    assert (kind(fields["allow_seconds"].annotation), bounds(fields["allow_seconds"])) == (
        "integer",
        "at least 1, at most 300",
    )
    assert kind(dict(keys(Settings))["mode"].annotation) == "one of production, development"
    text = example(Settings)
    assert "(list of text; at least 1 item, at most 16 items; default: ['127.0.0.1:50051'])" in " ".join(
        text.replace("#", " ").split()
    )
