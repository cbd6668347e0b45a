"""Bugs planted in the judge's process and on the way to it: who is asked, with what, how often, who may listen."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


REQUEST = _in(
    "judge/endpoint",
    (
        "judge-stored",
        '"messages": messages,\n            "store": False,',
        '"messages": messages,',
        "nothing is stored",
    ),
    (
        "judge-same-identifier",
        '"store": False,\n            "user": self._identifier(),\n            self._options',
        '"store": False,\n            "user": "pdp",\n            self._options',
        "an identifier stands for one session",
    ),
    ("judge-keyless-key", "authorized=bool(key)", "authorized=True", "without a key none is sent"),
    (
        "judge-quota-again",
        "retryable=code != _OUT_OF_CREDIT",
        "retryable=True",
        "what will not pass is not tried again",
    ),
    (
        "judge-any-filter",
        '    if code in _FILTERED:\n        return EndpointError("filtered")\n',
        "",
        "a filtered question is said to be so",
    ),
    ("judge-says-key", "if len(self._key) >= _SECRET and", "if False and", "the key goes to the endpoint only"),
)

WAY = _in(
    "judge/endpoint",
    (
        "judge-telltale-headers",
        "for name, value in request.headers.multi_items() if name.lower() in self._sent]",
        "for name, value in request.headers.multi_items()]",
        "no header tells of this machine",
    ),
    ("judge-endless-body", "if left < 0:", "if False:", "an answer is bounded"),
    (
        "judge-packed-body",
        'if response.headers.get("content-encoding", "identity") != "identity":',
        "if False:",
        "a packed answer is none",
    ),
    ("judge-follows", "follow_redirects=False", "follow_redirects=True", "a redirect is not followed"),
)

SESSIONS = (
    *_in(
        "judge/session_runner",
        (
            "judge-endless",
            "began + min(within_s, self._options.verdict_seconds)",
            "began + self._options.verdict_seconds",
            "a session that nobody waits for gives its place up",
        ),
        ("judge-deaf", "session.limits.throttle.update(answer.limits)", "pass", "a provider's limits are obeyed"),
        (
            "judge-retries-all",
            "if not outcome.retryable or failures",
            "if failures",
            "what will not pass is not tried again",
        ),
        (
            "judge-one-line",
            "self._limits_of(tenant))",
            'self._limits_of(""))',
            "one tenant's failures stop no other's",
        ),
        (
            "judge-second-wins",
            "            session.last = first\n",
            "            pass\n",
            "the first answer stands unless the second may take its place",
        ),
        ("judge-no-budget", "if reserved is None:", "if False:", "a budget is kept"),
        ("judge-no-repair", "if repairable(session.opinion(outcome)):", "if False:", "one repair"),
        (
            "judge-repairs-all",
            "if repairable(session.opinion(outcome)):",
            "if True:",
            "what was said well is not repaired",
        ),
    ),
    *_in(
        "fair_limiter",
        (
            "judge-no-turns",
            "self._waiting[tenant] = queue  # behind every other tenant",
            "self._waiting = OrderedDict({tenant: queue, **self._waiting})",
            "tenants take turns",
        ),
        ("judge-no-share", "if self._running[t] < self._own_places", "if True", "one tenant takes its share only"),
        (
            "judge-lost-place",
            (
                "            else:  # it was given a place that it cannot take any more\n"
                "                self._leave(tenant)\n"
            ),
            "",
            "no place is lost",
        ),
    ),
    *_in(
        "judge/limits",
        (
            "judge-breaker-closed",
            "BreakerEvent.TRIPPED if self._failed >= self._limit else BreakerEvent.FAILURE",
            "BreakerEvent.FAILURE",
            "an endpoint that fails is left alone",
        ),
        (
            "judge-breaker-stampede",
            "            if self._trying:\n                return False\n",
            "",
            "one request tries",
        ),
    ),
    *_in(
        "judge/limits",
        (
            "judge-budget-flight",
            "used.tokens + used.reserved_tokens + tokens",
            "used.tokens + tokens",
            "what is under way counts",
        ),
        ("judge-budget-forever", "if day != self._day:", "if not self._day:", "a budget is for a day"),
    ),
    *_in(
        "judge/client",
        ("judge-keeps-failures", "if opinion.status == OK:", "if True:", "only verdicts are kept"),
        ("judge-forgets-none", "TTLCache(entries, seconds,", "TTLCache(entries, 10**9,", "a verdict has its time"),
    ),
    *_in(
        "judge/client",
        (
            "judge-shares-verdicts-of-subjects",
            "key = VerdictKey(tenant, subject,",
            'key = VerdictKey(tenant, "",',
            "no verdict serves another subject",
        ),
        ("judge-shares-verdicts", "key = VerdictKey(tenant,", 'key = VerdictKey("",', "no verdict crosses tenants"),
        ("judge-same-nonce", "self._entropy.bytes(_NONCE_BYTES).hex()", '"ab" * 16', "a nonce is for one session"),
        (
            "judge-all-data",
            "if not self._options.allowed_data.permits(tenant, judge_input):",
            "if False:",
            "some data may not leave",
        ),
    ),
    *_in(
        "judge/options",
        (
            "judge-all-labels",
            "            and not any(_matches(label, self.never_labels) for label in judge_input.labels)\n",
            "",
            "some labels may not leave",
        ),
        (
            "judge-key-in-file",
            'if self.api_key and not self.api_key.startswith(("file:", "vault:")):',
            "if False:",
            "no key stands in a configuration",
        ),
        ("judge-plain", 'if parts.scheme == "http" and not plain and', "if False and", "data goes out by TLS"),
    ),
)

SOCKET = (
    *_in(
        "judge/serve",
        (
            "judge-serves-anybody",
            'if protocol.peer_user(writer.get_extra_info("socket")) != os.geteuid():',
            "if False:",
            "only our user is served",
        ),
        ("judge-open-socket", "os.umask(0o177)", "os.umask(0)", "nobody else reaches the socket"),
        (
            "judge-open-folder",
            "stat.S_IMODE(info.st_mode) & 0o077",
            "stat.S_IMODE(info.st_mode) & 0o002",
            "nobody else enters",
        ),
    ),
    *_in(
        "judge/process",
        (
            "judge-trusts-anybody",
            'if protocol.peer_user(self._writer.get_extra_info("socket")) != os.geteuid():',
            "if False:",
            "only our user is asked",
        ),
        (
            "judge-any-model",
            "if (hello.model, hello.url) != (options.model, options.url):",
            "if False:",
            "the model that was configured",
        ),
    ),
    *_in(
        "judge/process",
        ("judge-inherits", "env={},", "env=None,", "the judge's process has no environment"),
        (
            "judge-not-again",
            "            await asyncio.shield(running.close())\n",
            "            await asyncio.shield(running.close())\n            await asyncio.sleep(10**6)\n",
            "a process that ended is started again",
        ),
    ),
    *_in(
        "cli/judge_process",
        (
            "judge-open-memory",
            "prctl(_PR_SET_DUMPABLE, 0,",
            "prctl(_PR_SET_DUMPABLE, 1,",
            "nobody looks into its memory",
        ),
        (
            "judge-outlives",
            "        await asyncio.to_thread(sys.stdin.buffer.read)\n",
            "        await asyncio.sleep(10**6)\n",
            "it ends with who started it",
        ),
    ),
)

ISOLATION = (
    *_in(
        "judge/isolation",
        ("judge-claims", "if _HOLDS[part](before))", "if part)", "nothing is said to hold that was not tried"),
        (
            "judge-any-error",
            "    except PermissionError:\n        return True\n    except OSError:\n        return False\n",
            "    except OSError:\n        return True\n",
            "an attempt that fails otherwise proves nothing",
        ),
        (
            "judge-keeps-rights",
            "        _drop_capabilities()\n        confine(Confinement(read=read",
            "        confine(Confinement(read=read",
            "no capability is kept",
        ),
        (
            "judge-keeps-network",
            "    if libc.unshare(_NEW_NET | _NEW_IPC) and user_namespace:",
            "    if False:",
            "a network namespace of its own",
        ),
    ),
    *_in(
        "confinement",
        ("alone-points", "(() if rules.network else calls.addresses)", "()", "a connected socket stays where it is"),
        ("alone-forks", "(_JSET, 0, 1, _CLONE_THREAD)", "(_JSET, 0, 0, _CLONE_THREAD)", "threads, no processes"),
    ),
)

JUDGE_PROCESS = (*REQUEST, *WAY, *SESSIONS, *SOCKET, *ISOLATION)
