from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from support.for_each import for_each

from pdp.runtime.telemetry.logs import (
    CURRENT,
    DECISION_ID,
    FORMATTERS,
    Current,
    JsonFormatter,
    TextFormatter,
    configure,
    handler,
)

SECRET = "a-value-that-a-library-quotes"


def line(message: str = "%s said", *arguments: Any, **more: Any) -> dict[str, Any]:
    record = logging.getLogger("pdp.x").makeRecord(
        "pdp.x", logging.WARNING, "f.py", 1, message, arguments or ("it",), more.pop("exc_info", None), extra=more
    )
    text = JsonFormatter().format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_line_has_time_level_logger_and_message() -> None:
    found = line()
    assert found.pop("time").endswith("+00:00")
    assert found == {"level": "warning", "logger": "pdp.x", "message": "it said"}


def test_event_is_its_fields() -> None:
    found = line(event={"event": "rpc.refused", "code": "caller.role", "odd": object()})
    assert (found["event"], found["code"], found["odd"]) == ("rpc.refused", "caller.role", "object")
    assert "message" not in found


def test_line_inside_a_call_has_its_ids() -> None:
    token = CURRENT.set(Current("m", "t" * 32, "s" * 16, recorded=True, noted={DECISION_ID: "d"}))
    try:
        found = line()
    finally:
        CURRENT.reset(token)
    assert (found["trace_id"], found["span_id"], found["decision_id"]) == ("t" * 32, "s" * 16, "d")
    assert "trace_id" not in line()


def test_exception_is_told_without_its_text() -> None:
    try:
        int(SECRET)
    except ValueError as error:
        error.__cause__ = KeyError(SECRET)
        found = line(exc_info=(ValueError, error, error.__traceback__))
    assert found["exception"] == ["builtins.ValueError", "builtins.KeyError"]
    assert found["trace"][0].endswith("test_exception_is_told_without_its_text")
    assert SECRET not in json.dumps(found)


def test_line_break_cannot_forge_a_line() -> None:
    assert line("%s", 'x\n{"level":"error"}')["message"] == 'x\n{"level":"error"}'


@pytest.mark.parametrize("text", ["a\u2028b", "a\u202eb", "a\x1b[2Jb", "a\ud800b", "a\x85b"])
@pytest.mark.parametrize("form", sorted(FORMATTERS))
def test_no_character_ends_or_hides_a_line(form: str, text: str) -> None:
    record = logging.getLogger("pdp.x").makeRecord("pdp.x", logging.WARNING, "f.py", 1, "%s", (text,), None)
    found = FORMATTERS[form]().format(record)
    assert len(found.splitlines()) == 1
    assert found.isascii()


def test_text_tells_an_exception_without_its_text() -> None:
    try:
        try:
            int(SECRET)
        except ValueError as error:
            raise RuntimeError(SECRET) from error
    except RuntimeError as error:
        info: Any = (RuntimeError, error, error.__traceback__)
    record = logging.getLogger("pdp.x").makeRecord("pdp.x", logging.ERROR, "f.py", 1, "it broke\nbadly", (), info)
    line, kinds, place = TextFormatter().format(record).splitlines()
    assert line.endswith(r"pdp.x it broke\nbadly")
    assert kinds == "  builtins.RuntimeError from builtins.ValueError"
    assert place.endswith("test_text_tells_an_exception_without_its_text")
    assert SECRET not in TextFormatter().format(record)


@for_each(
    ("level", "ours", "theirs"), [("debug", logging.DEBUG, logging.WARNING), ("error", logging.ERROR, logging.ERROR)]
)
def test_others_packages_tell_only_what_goes_wrong(level: str, ours: int, theirs: int) -> None:
    """At finer levels they tell URLs and headers."""
    root, own = logging.getLogger(), logging.getLogger("pdp")
    before = (root.level, own.level, root.handlers[:])
    root.handlers.clear()
    try:
        configure(level, "json")
        assert logging.getLogger("pdp.call").getEffectiveLevel() == ours
        assert logging.getLogger("httpcore").getEffectiveLevel() == theirs
        [made] = root.handlers
        assert isinstance(made.formatter, JsonFormatter)
    finally:
        root.handlers[:] = before[2]
        root.setLevel(before[0])
        own.setLevel(before[1])


def test_forms() -> None:
    assert set(FORMATTERS) == {"text", "json"}
    assert isinstance(handler("json").formatter, JsonFormatter)
