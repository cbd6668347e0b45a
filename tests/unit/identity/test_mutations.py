"""No mutation of a valid token is ever accepted, and nothing that is sent makes the verifier raise."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pdp.core.call.request import AssertedClaims, Caller, MayAssert

ISSUER = "https://issuer.example"
quick = settings(
    max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\x00é"
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def code(world: Any, credential: Any, **how: Any) -> str:
    found: str = asyncio.run(world.code(credential, **how))
    return found


@quick
@given(data=st.data())
def test_changed_characters(world: Any, data: st.DataObject) -> None:
    token = world.token()
    changed = list(token)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(changed) - 1))
        edit = data.draw(st.sampled_from(["replace", "insert", "delete", "swap"]))
        if edit == "replace":
            changed[position] = data.draw(st.sampled_from(ALPHABET))
        elif edit == "insert":
            changed.insert(position, data.draw(st.sampled_from(ALPHABET)))
        elif edit == "delete":
            del changed[position]
        else:
            other = data.draw(st.integers(0, len(changed) - 1))
            changed[position], changed[other] = changed[other], changed[position]
    assume("".join(changed) != token)
    assert code(world, token) == ""
    assert code(world, "".join(changed)).startswith("subject.")


@quick
@given(part=st.integers(0, 1), name=st.text(max_size=8), value=json_values, known=st.sampled_from([*"abcdefghi"]))
def test_changed_members_without_a_new_signature(world: Any, part: int, name: str, value: Any, known: str) -> None:
    parts = world.token().split(".")
    content = json.loads(base64.urlsafe_b64decode(parts[part] + "=" * (-len(parts[part]) % 4)))
    names = sorted(content)
    target = names[ord(known) % len(names)] if len(name) % 2 else name
    assume(content.get(target, "absent") != value)
    parts[part] = base64.urlsafe_b64encode(json.dumps({**content, target: value}).encode()).rstrip(b"=").decode()
    assert code(world, ".".join(parts)).startswith("subject.")


@quick
@given(name=st.sampled_from(["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scope", "act"]), value=json_values)
def test_signed_nonsense_is_refused_or_read_but_never_raises(world: Any, name: str, value: Any) -> None:
    found = asyncio.run(world.identify(world.signer.token({**world.claims(), name: value})))
    assert found.subject.check.ok or found.subject.check.code.startswith("subject.")
    if name in {"iss", "aud"} or (name in {"sub", "exp", "iat"} and not isinstance(value, str | int | float)):
        assert not found.subject.check.ok


@quick
@given(header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "cty", "x"]), json_values), claims=json_values)
def test_any_header_and_content(world: Any, header: dict[str, Any], claims: Any) -> None:
    assert code(world, world.signer.token(claims, **header)).startswith("subject.")


@quick
@given(raw=st.binary(max_size=40), text=st.text(max_size=40))
def test_noise(world: Any, raw: bytes, text: str) -> None:
    caller = Caller("gateway", "acme", frozenset(), frozenset(), may_assert=MayAssert(claims=(ISSUER,)))
    assert code(world, text) == "subject.malformed"
    assert code(world, AssertedClaims(ISSUER, "bob", b"\x00" + raw), caller=caller) == "subject.malformed"
