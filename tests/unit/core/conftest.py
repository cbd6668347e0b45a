"""One fully good call as facts, to be bent by a test in one place."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from support.facts import GOOD, SUBJECT, good_call, good_target

from pdp.core.call.facts import (
    Actor,
    AgentFact,
    ArgumentsFact,
    Asserted,
    Finding,
    Identity,
    Sink,
    Waiver,
)
from pdp.core.check import OK
from pdp.policy.source import schema_of_members

AT = 1_782_907_200_123_456_789  # Wednesday, 2026-07-01, 12:00 UTC
_SCHEMA = json.loads((Path(__file__).parents[3] / "rego" / "schemas" / "input.json").read_text())


@pytest.fixture(scope="session")
def schema() -> Any:
    return _SCHEMA


@pytest.fixture(scope="session")
def valid() -> Any:
    return jsonschema_rs.validator_for(schema_of_members(_SCHEMA)).is_valid


@pytest.fixture
def at() -> Any:
    return AT


@pytest.fixture
def facts() -> Any:
    """Everything that can be established is, and is good."""
    return good_call(
        identity=Identity(
            replace(
                SUBJECT,
                scopes=("repo:read",),
                acr="2",
                amr=("hwk",),
                issued_ns=AT - 60,
                authenticated_ns=AT - 60,
                expires_ns=AT + 60,
                token_id="token-1",
            ),
            AgentFact(OK, "verified", "assistant", "oauth_client"),
            (Actor("assistant", "https://id.example"),),
        ),
        targets=(
            good_target(
                "git_status",
                permissions=("repo:read",),
                labels=("sensitive",),
                sinks=(Sink("filesystem", "/path"),),
                manifest_sha256="00",
                version="1",
                owner="platform",
            ),
        ),
        arguments=ArgumentsFact(OK, {"path": "/repo"}, (Finding("undeclared", "/x", "d"),), 16, 1),
        session=replace(GOOD.session, started_ns=1),
        asserted=Asserted(task="t", observation="o", extra={"k": [1]}),
        waivers=(Waiver("w", "schema.open", "git", "security", "until fixed", AT + 1),),
        call_digest="d1",
        judge_refusals=2,
        unknown_outcomes=1,
        people_refusals=3,
        people_withdrawals=4,
    )
