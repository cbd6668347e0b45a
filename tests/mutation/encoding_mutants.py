"""Bugs planted in the canonical encoding and the smaller parts of the pure core (`pdp/core`)."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/core/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


DIGEST = _in(
    "digest",
    (
        "sorting-dropped",
        "    keys.sort(key=None if all(k.isascii() for k in keys) else _utf16)\n",
        "",
        "canonical bytes do not depend on order",
    ),
    (
        "sorting-by-code-point",
        "keys.sort(key=None if all(k.isascii() for k in keys) else _utf16)",
        "keys.sort()",
        "keys sort by UTF-16 (RFC 8785)",
    ),
    ("integers-as-doubles", "out.append(str(int(value)))", "out.append(_number(float(value)))", "integers are exact"),
    (
        "integers-unbounded",
        '        if not INT64_MIN <= value <= INT64_MAX:\n            raise InvalidRequest("json", "an integer',
        '        if value is None:\n            raise InvalidRequest("json", "an integer',
        "integers lie within int64",
    ),
    (
        "plain-integers-unbounded",
        "            if not INT64_MIN <= value <= INT64_MAX:  #",
        "            if value is None:  #",
        "integers lie within int64",
    ),
    ("plain-keys-of-any-script", "if not names.isascii():", "if False:", "keys sort by UTF-16 (RFC 8785)"),
    (
        "plain-keys-unsorted",
        "check_circular=False, sort_keys=True, sep",
        "check_circular=False, sep",
        "bytes do not depend on order",
    ),
    ("nan-is-a-number", "if not math.isfinite(value):", "if math.isinf(value):", "NaN has no canonical form"),
    ("true-is-one", "value is None or isinstance(value, bool)", "value is None or value is False", "true is not 1"),
    (
        "exponent-without-sign",
        "'+' if power >= 0 else '-'",
        "'' if power >= 0 else '-'",
        "numbers as ECMAScript has them",
    ),
    ("small-numbers-early", "if -6 < point <= 0:", "if -4 < point <= 0:", "numbers as ECMAScript has them"),
    (
        "any-object-is-an-array",
        "isinstance(value, list | tuple)",
        "hasattr(value, '__iter__')",
        "only JSON is encoded",
    ),
    ("leaf-prefix-dropped", 'b"\\x00" + record', "record", "a leaf is no inner node (RFC 6962)"),
    ("commitment-without-salt", "hmac.digest(salt, path", 'hmac.digest(b"", path', "commitments are salted"),
    ("commitment-without-path", 'path.encode() + b"\\x00" + value', "value", "a commitment is to one field"),
    (
        "commitment-without-separator",
        'path.encode() + b"\\x00" + value',
        "path.encode() + value",
        "a commitment is injective",
    ),
    ("index-without-key", "hmac.new(first, digestmod", 'hmac.new(b"", digestmod', "an index reveals nothing"),
    (
        "index-joins-its-parts",
        "canonical(list(parts))",
        '"".join(map(str, parts)).encode()',
        "an index is injective",
    ),
)

REST = (
    *_in(
        "switches",
        (
            "switch-of-any-tenant",
            'return self.tenant in ("", tenant) and not',
            "return not",
            "a tenant's switch is its own",
        ),
        ("switch-until-flipped", "until_ns <= at_ns", "until_ns > at_ns", "a switch ends at its time"),
        ("switch-ended-at-once", "return 0 < until_ns", "return 0 <= until_ns", "0 means until released"),
        ("switch-of-any-server", "switch.server == server and ", "", "a tool's switch is its server's"),
        (
            "switch-everything-ignored",
            'if self.scope == "everything":\n            return True',
            'if self.scope == "everything":\n            return False',
            "the widest switch reaches everything",
        ),
        (
            "switch-passes",
            "                return failed(\n",
            "                return OK or failed(\n",
            "a switch is a failed check",
        ),
    ),
    *_in(
        "answer",
        (
            "requirement-of-any-call",
            "digest([call_digest, element])",
            "digest([element])",
            "a requirement's id is for one call",
        ),
        (
            "requirement-by-code",
            "digest([call_digest, element])",
            'digest([call_digest, element["code"]])',
            "a raised quorum is another requirement",
        ),
        (
            "reply-loses-obligations",
            'tuple(found["obligations"])',
            "()",
            "a repeated answer is the same answer",
        ),
    ),
    *_in(
        "evidence",
        (
            "answer-for-any-call",
            '"call": call,\n        "kind": requirement',
            '"call": "",\n        "kind": requirement',
            "evidence is for one call",
        ),
        (
            "judge-states",
            '"kind": "judge",\n',
            '"kind": "judge",\n        "state": "met",\n',
            "a judge gives no state",
        ),
    ),
    *_in(
        "policy",
        (
            "bundle-digest-without-org",
            "            sha256_hex(self.org),\n",
            "",
            "the digest stands for every part",
        ),
        (
            "bundle-digest-without-paths",
            "[[m.path, sha256_hex(m.text.encode())]",
            "[[sha256_hex(m.text.encode())]",
            "the digest stands for every part",
        ),
        ("tests-decide", "tuple(m for m in self.modules if not m.is_test)", "self.modules", "tests never decide"),
    ),
    *_in("request", ("token-in-repr", "token: str = field(repr=False)", "token: str", "a token never shows")),
    *_in(
        "request",
        (
            "caller-fronts-all",
            '"*" in self.servers or server in self.servers',
            "True",
            "a caller asks about its servers",
        ),
    ),
    *_in(
        "strict_json",
        (
            "json-duplicate-keys",
            "return members if len(members) == len(pairs) else _Duplicate()",
            "return members",
            "duplicate keys are refused",
        ),
        ("json-depth", "if depth > max_depth:", "if depth > max_depth + 1:", "depth is limited"),
        ("json-size", "if len(raw) > max_bytes:", "if not raw:", "size is limited"),
        (
            "json-surrogates",
            "if escapes and not _well_formed(value):",
            "if not value and escapes:",
            "text is Unicode",
        ),
        ("json-overflow", "if not math.isfinite(value):", "if math.isnan(value):", "numbers keep their value"),
    ),
    *_in(
        "record",
        (
            "record-unverified-subject",
            "shown = found if found.check.ok else SubjectFact(found.check)",
            "shown = found",
            "unverified claims are not recorded",
        ),
    ),
)

ENCODING = (
    *DIGEST,
    *REST,
)
