"""Bugs planted in the calls of gateways: what is shown is read strictly, and every answer begins as a denial."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(
        Mutant(name, f"pdp/adapters/gateways/{file}.py", old, new, attacks) for name, old, new, attacks in rows
    )


DECIDING = _in(
    "deciding",
    (
        "gateway-nested",
        "for each in (call,) if meant is None else (meant, call):",
        "for each in (call,):",
        "what is meant is decided",
    ),
    (
        "gateway-one-of-all",
        "                if not decision.allowed:\n                    return decision\n",
        "",
        "a listener hears of nothing that it may not read",
    ),
)

EXT_AUTHZ = _in(
    "ext_authz",
    (
        "authz-challenge-any",
        "error is None or not route.metadata:",
        "not route.metadata:",
        "who may not is not asked",
    ),
    (
        "authz-challenge-header",
        "if route.metadata and re.fullmatch(HEADER_URL, route.metadata) is None:",
        "if False:",
        "a header has no other header in it",
    ),
    (
        "authz-starts-ok",
        "ext_authz_pb2.Status(code=_DENIED)",
        "ext_authz_pb2.Status()",
        "an answer begins as a denial",
    ),
    ("authz-pending-passes", "passes=decision.allowed)", 'passes=decision.effect != "deny")', "pending is no allow"),
    (
        "authz-any-server",
        "        require_server(caller, route.server)\n",
        "",
        "a gateway asks about its servers only",
    ),
    (
        "authz-principal-first",
        "if authorization or not principal or issuer is None:",
        "if not principal or issuer is None:",
        "a token that fails is not replaced by a certificate",
    ),
    (
        "authz-any-notification",
        "is (\n                message.id is None\n            )",
        "is not None",
        "a notification has no id",
    ),
    (
        "authz-streams",
        'in ("GET", "DELETE") and self._deciding.options.streams',
        'in ("GET", "DELETE")',
        "streams are closed",
    ),
    (
        "authz-hanging-client",
        "400 if self.id is None else 200,\n",
        "200,\n",
        "a client hangs on an answer without its id",
    ),
    ("authz-list-page", 'or message.params.get("cursor") is not None', "", "the pinned list has one page"),
)

NAMES = _in(
    "ext_authz",
    (
        "authz-any-prefix",
        "if not all(call.name.startswith(prefix) and",
        "if not all(True and",
        "a tool of another backend is not this one's",
    ),
    (
        "authz-prefixed-uri",
        '(not prefix or call.kind != "resource")',
        "True",
        "a URI is spelled in one way",
    ),
    (
        "authz-list-passes",
        "if message.method in LISTS and",
        'if message.method == "tools/list" and',
        "lists of every kind are the subject's own",
    ),
)

HTTP_MESSAGE = _in(
    "http_message",
    (
        "message-strange-parameters",
        "or not (known is None or set(value) <= known):",
        "or False:",
        "parameters are those of a call",
    ),
    (
        "message-versions",
        'if _VERSIONS in params.get("_meta", {}):',
        "if False:",
        "the listed version is the one called",
    ),
    (
        "message-two-names",
        'if {"name", "uri"} <= set(params.get("ref", {})):',
        "if False:",
        "a completion is of one thing",
    ),
    (
        "message-partial",
        "whole = http.size == len(body) and",
        "whole = http.size <= len(body) and",
        "a body is whole",
    ),
    ("message-partial-header", " and headers.get(_PARTIAL, _WHOLE) == _WHOLE", "", "a body is whole"),
    (
        "message-made-readable",
        "if not http.raw_body and _REPLACED in http.body:",
        "if False:",
        "bytes are the server's",
    ),
    ("message-any-type", 'if request.header("content-type").lower() not in _JSON:', "if False:", "a body is JSON"),
    (
        "message-packed",
        'if request.header("content-encoding").lower() not in',
        'if "" not in',
        "a body is not packed",
    ),
    (
        "message-null-id",
        'if body.get("jsonrpc") != "2.0" or ("id" in body and id_ is None):',
        'if body.get("jsonrpc") != "2.0":',
        "an id of null is no notification",
    ),
    (
        "message-strangers",
        "if not set(body) <= _REQUEST or not isinstance(method",
        "if not isinstance(method",
        "one reading",
    ),
    ("message-other-version", "if message.version and stated != message.version:", "if False:", "headers agree"),
    (
        "message-other-method",
        "if (method := request.header(MCP_METHOD_HEADER)) and method != message.method:",
        "if False:",
        "headers agree",
    ),
    ("message-other-name", "if MCP_NAME_HEADER in request.headers and", "if False and", "headers agree"),
    ("message-other-parameter", "if stated_values and not", "if False and not", "headers agree"),
    (
        "message-declared-parameter",
        "if message.version in MODERN_PROTOCOL_VERSIONS and validate",
        "if False and validate",
        "headers agree",
    ),
    (
        "message-two-forms",
        "if http.header_map.headers and headers:",
        "if False:",
        "headers come in one form",
    ),
)

FAULTS = (
    *_in(
        "ext_authz",
        (
            "authz-cancelled",
            "except (Exception, asyncio.CancelledError)",
            "except Exception",
            "a stray cancellation denies",
        ),
    ),
    *_in(
        "ext_mcp",
        (
            "mcp-cancelled",
            "except (Exception, asyncio.CancelledError)",
            "except Exception",
            "a stray cancellation denies",
        ),
        (
            "mcp-list-request",
            "if request.method in LISTS and request.method not in",
            "if False and request.method not in",
            "lists are filtered",
        ),
        (
            "mcp-two-backends",
            "self._servers(request.service_names, 1)",
            "self._servers(request.service_names)[:1]",
            "one backend",
        ),
        (
            "mcp-result-untied",
            "        if not isinstance(decision, str) or not decision:\n            raise InvalidRequest(",
            "        if False:\n            raise InvalidRequest(",
            "a result without its decision is withheld",
        ),
        (
            "mcp-result-withheld",
            "        if not found.passes:\n",
            "        if False:\n",
            "what is withheld is not shown",
        ),
        (
            "mcp-result-uncut",
            "return None if found.result == result else",
            "return None if found.result else",
            "what is cut out is not shown",
        ),
        ("mcp-two-tokens", "token == tokens[0] for", "True for", "one token"),
        (
            "mcp-claims-first",
            "    if tokens:\n        return credential(tokens[0])\n",
            "",
            "a token goes before claims",
        ),
        (
            "mcp-other-prefix",
            "elif backend == service and rest:",
            "elif rest:",
            "tools of several backends are told apart",
        ),
        (
            "mcp-public",
            '"cacheScope": "private"',
            '"cacheScope": listed.get("cacheScope")',
            "a list is one subject's",
        ),
        (
            "mcp-uri-prefix",
            "prefixed = several if by_uri else",
            "prefixed = False if by_uri else",
            "URIs of several backends are told apart",
        ),
        (
            "mcp-result-passes",
            "            if request.method in DECIDED:\n",
            '            if request.method == "tools/call":\n',
            "a result that nobody decided is withheld",
        ),
        (
            "mcp-method-passes",
            "        if method in self._deciding.options.passes:\n            return\n",
            "        return\n",
            "unknown methods are denied",
        ),
    ),
)

GATEWAYS = (*DECIDING, *FAULTS, *EXT_AUTHZ, *NAMES, *HTTP_MESSAGE)
