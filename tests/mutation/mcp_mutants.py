"""Bugs planted in the enforcement within MCP servers: nothing passes that was not allowed as it is carried out."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/adapters/mcp/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


MCP = (
    *_in(
        "enforcement",
        (
            "mcp-pending-passes",
            "if not decision.allowed:\n            return",
            'if decision.effect == "deny":\n            return',
            "pending is no allow",
        ),
        (
            "mcp-any-method",
            "or ctx.method in self.options.passes:",
            "or ctx.method != CALL:",
            "no decision",
        ),
        (
            "mcp-unsealed",
            "return await self._boundary(ctx, sealed)",
            "return await sealed(ctx)",
            "a state is sealed, and good for its own call",
        ),
        ("mcp-first-definition", "if len(found) == 1 else None", "if found else None", "one name, one definition"),
        ("mcp-other-version", "if _VERSIONS in call.meta:", "if False:", "what is called is what was listed"),
        ("mcp-public-cache", 'if hint.scope == "public"', "if False", "a list is one subject's"),
        (
            "mcp-promised-by-the-client",
            "answers.unobliging(await asking)",
            "await asking",
            "what nothing fulfils is no allow",
        ),
        ("mcp-first-page", 'cursor = page.get("nextCursor")', "cursor = None", "a list is whole"),
    ),
    *_in(
        "results",
        (
            "mcp-error-unseen",
            "        if not enforcement.options.inspects_results:\n            raise\n",
            "        raise\n",
            "an error is read by a model too",
        ),
        (
            "mcp-error-half-seen",
            'found.result.get("data")',
            "error.data",
            "an error is shown as it was cut",
        ),
        (
            "mcp-question-unseen",
            "    if not enforcement.options.inspects_results:\n        return result\n",
            "    if not enforcement.options.inspects_results or is_input_required(result):\n        return result\n",
            "a question of the server is shown to people and models",
        ),
        (
            "mcp-state-cut",
            "if name != _STATE or not asks",
            "if name",
            "the server's own state comes back as it was",
        ),
        ("mcp-withheld-shown", "    if found.passes:\n", "    if True:\n", "what is withheld is not shown"),
    ),
    *_in(
        "tool_search",
        ("mcp-search-unread", "if any(each != lists[0] for each in lists):", "if False:", "both forms say the same"),
        ("mcp-search-twice", "< len(value):  # one", "> len(value):  # one", "one name, one definition"),
        ("mcp-call-deeper", " or name in self.call:", ":", "a call within a call is one tool's"),
    ),
    *_in(
        "enforcement",
        (
            "mcp-search-ends",
            "if not decision.allowed:\n            raise",
            "if False:\n            raise",
            "what is meant",
        ),
    ),
    *_in(
        "nested_calls",
        ("mcp-nested-free", "if not running.covers(component, call):", "if False:", "a nested call is decided"),
    ),
    *_in(
        "fastmcp_calls",
        ("mcp-nested-read", "Resource: resources, ", "", "what a tool reads is decided"),
        (
            "mcp-nested-list-of-tools",
            "running.ctx, asked)",
            "running.ctx)",
            "what a tool lists is of its own kind",
        ),
        ("mcp-nested-lists", "if running is None or running is _finding.get():", "if True:", "search"),
        ("mcp-past-the-wire", "raise ToolError(answers.SAFE_MESSAGE)  # nobody", "pass  # nobody", "whose"),
    ),
    Mutant(
        "transport-endless",
        "pdp/mcp_transport.py",
        "if before + len(line) > max_bytes:",
        "if False:",
        "a line is bounded",
    ),
    Mutant(
        "transport-endless-body",
        "pdp/mcp_transport.py",
        "if self._together is None and streams and not packed:",
        "if self._together is None:",
        "a body is bounded",
    ),
    Mutant(
        "mcp-proxy-unsigned",
        "pdp/cli/proxy_named.py",
        "if challenge := challenged(given):",
        "if (challenge := challenged(given)) and False:",
        "a client is told to sign in",
    ),
    Mutant("mcp-proxy-any-address", "pdp/cli/proxy.py", "host not in _LOOPBACK or", "", "a local listener is local"),
    *_in(
        "answers",
        (
            "mcp-confirms-anything",
            'and wanted.min_assurance == "client_asserted" and',
            "and",
            "policy says where a client's word suffices",
        ),
        ("mcp-confirms-the-unseen", " or len(shown) > MAX_SHOWN:", ":", "a call is shown whole"),
        ("mcp-asks-for-ever", " and wanted.id not in asked:", ":", "a user is asked once"),
        ("mcp-public-list", '"cacheScope": "private"', '"cacheScope": "public"', "a list is one subject's"),
        ("mcp-any-scheme", 'in ("https", "http"):', "is not None:", "a page is a page"),
    ),
    *(
        Mutant(f"confine-{name}", "pdp/confinement.py", old, new, attacks)
        for name, old, new, attacks in (
            ("home", "() if home.is_relative_to(place) else (str(place),)", "(str(place),)", "a home is not opened"),
            ("unix", "(_AF_INET, _AF_INET6, _AF_NETLINK)", "(_AF_INET, _AF_INET6, _AF_UNIX)", "no Unix socket, ever"),
            ("pairs", "for kind in (_SOCK_STREAM, _SOCK_SEQPACKET):", "for kind in (1, 2, 5):", "pairs stay pairs"),
            ("scopes", "scoped = _SCOPE_ABSTRACT | _SCOPE_SIGNAL if", "scoped = 0 if", "other processes"),
            ("modes", "() if rules.write else calls.modes", "()", "modes of files"),
            ("io-uring", "425, 304", "304", "no socket past the filter"),
            (
                "anyway",
                "    os._exit(_FAILED)\n\n\ndef _limit",
                "    os.execvp(command[0], command)\n\n\ndef _limit",
                "or not at all",
            ),
            ("imports", '"-I", "-S", __file__', "__file__", "modules of a hostile folder"),
            (
                "prefix",
                "str(prefix / part) for part in _PARTS",
                "str(prefix) for part in _PARTS",
                "not all of it",
            ),
        )
    ),
    Mutant("own-terminal", "pdp/cli/proxy_pin.py", "sys.stdin.isatty() and sys.stdout.isatty()", "True", "a person"),
    Mutant(
        "own-foreign-folder", "pdp/authoring/local.py", "or stat.S_IMODE(status.st_mode) & 0o077", "", "yours alone"
    ),
    Mutant("own-two-writers", "pdp/cli/hook_serve.py", "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH", "one"),
    Mutant(
        "own-any-command",
        "pdp/authoring/local.py",
        "if server.command == list(command)",
        "if command",
        "what was read",
    ),
    Mutant(
        "own-told",
        "pdp/authoring/local.py",
        'return bool(offered.definition.get("arguments"))',
        "return False",
        "what may leave is asked about",
    ),
    Mutant(
        "own-unread",
        "pdp/authoring/starter_pack/pack.rego",
        "t.risk_level <= 2",
        "t.risk_level <= 4",
        "what was not read",
    ),
)
