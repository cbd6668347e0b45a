"""Bugs planted in messages and their way out, in the watch over how people decide, and in canaries."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


CONTENT = _in(
    "core/approvals/notices",
    ("message-deceives", "    shown = visible(text)\n", "    shown = text\n", "names in messages are visible"),
    ("mail-to-subject", "seated - {subject, *(", "seated - {*(", "nobody is asked to approve its own call"),
    (
        "mail-to-disabled",
        "m is not None and m.active and m.mail",
        "m is not None and m.mail",
        "the disabled are not told",
    ),
    (
        "told-of-others",
        "(not self.tenants or approval.tenant in self.tenants)",
        "True",
        "a channel is of its tenants",
    ),
    (
        "tries-for-ever",
        "if not problem or final or notice.attempts >= MAX_ATTEMPTS:",
        "if not problem or final:",
        "tries are bounded",
    ),
    ("no-lease", "due_ns=at_ns + LEASE_NS", "due_ns=at_ns", "one process at a time delivers"),
    ("asks-for-what-is-over", "or approval.expires_ns <= at_ns)", "or False)", "nobody is asked for what is over"),
)

WAY_OUT = _in(
    "outgoing",
    (
        "any-address",
        "if not addresses or not all(allowed(address,",
        "if not addresses or not any(allowed(address,",
        "each address is looked at",
    ),
    ("looked-up-twice", "url.copy_with(host=address)", "url", "the address that was looked at is the one"),
    (
        "mapped-address",
        "            return allowed(str(parsed.ipv4_mapped), internal=internal)\n",
        "            return True\n",
        "IPv4 within IPv6 is looked at",
    ),
    ("link-local", "or parsed.is_link_local:", "or False:", "metadata services are never reached"),
    (
        "translated",
        "parsed.sixtofour or parsed.teredo or any(parsed in network for network in _TRANSLATED)",
        "False",
        "translated addresses are refused",
    ),
    ("redirected", "if not 200 <= status < 300:", "if not 200 <= status < 400:", "a redirect is no delivery"),
    ("follows", "follow_redirects=False", "follow_redirects=True", "redirects are not followed"),
    ("ambient-proxy", "trust_env=False", "trust_env=True", "no ambient proxy"),
    (
        "any-certificate",
        '"sni_hostname": url.host',
        '"sni_hostname": "other.example"',
        "the certificate is the host's",
    ),
)

CHANNELS = (
    *_in(
        "approvals/channels",
        ("chat-of-any-host", "parts.netloc == options.host", "True", "chats are of the configured host"),
    ),
    *_in(
        "approvals/mail",
        (
            "mail-in-clear",
            '            if options.security == "starttls":\n',
            "            if False:\n",
            "mail goes over TLS",
        ),
    ),
    *_in(
        "approvals/messages", ("slack-markup", '"type": "plain_text"', '"type": "mrkdwn"', "chats interpret nothing")
    ),
    *_in(
        "store/approvals/steps",
        (
            "mark-unconditional",
            "c.attempts == step.attempts, c.done_ns == 0",
            "c.done_ns == 0",
            "one process at a time delivers",
        ),
    ),
    *_in(
        "store/approvals/steps",
        (
            "counter-any",
            "if not fresh(step.count,",
            "if False and not fresh(step.count,",
            "a passkey's counter grows",
        ),
    ),
)

CANARIES = (
    *_in(
        "service/approvals/canaries",
        ("canary-by-all", "if OPERATE not in person.roles:", "if False:", "operators open canaries"),
    ),
    *_in(
        "service/approvals/canaries",
        ("canary-real", "            canary=True,\n", "            canary=False,\n", "a canary is one"),
    ),
    *_in(
        "store/approvals/steps",
        ("canary-spent", "if step.event is Event.REDEEM and row.canary:", "if False:", "a canary is never redeemed"),
    ),
    *_in(
        "service/approvals/requests",
        (
            "group-uncapped",
            "+ opened >= self.caps.per_group",
            "+ opened >= 10**9",
            "groups are asked so much and no more",
        ),
    ),
    *_in(
        "service/approvals/approver_metrics",
        (
            "think-from-last",
            "self._looks.setdefault((person.tenant, person.human, approval_id), at_ns)",
            "self._looks[person.tenant, person.human, approval_id] = at_ns",
            "thinking begins with the first look",
        ),
    ),
)

WAITING = (
    *_in(
        "client/requests_decide",
        (
            "wait-permits",
            "            return Waited(again=True)\n        return Waited(again=False,",
            "            return Waited(again=True)\n        return Waited(again=True,",
            "only a change is a reason to ask",
        ),
    ),
    *_in(
        "client/requests_decide",
        ("noted-unrecorded", 'if not response.HasField("record"):', "if False:", "a report has a record"),
    ),
)

PUSHES = (
    *_in(
        "audit/pushes",
        (
            "push-moves-on",
            "if self._next.body and not await self._sent(self._next):\n            return EVERY",
            "if self._next.body:\n            await self._sent(self._next)",
            "what a receiver has not taken is pushed again",
        ),
        ("push-never-saved", "position == self._saved[0] and not anyway", "not anyway", "a run goes on"),
        (
            "push-anew",
            "if code in _REFUSED and self._limit > 1:",
            "if self._limit > 1:",
            "what may have arrived is sent again as it was",
        ),
        (
            "push-skips",
            "                    break\n                taken.append",
            "                    continue\n                taken.append",
            "every record is pushed",
        ),
    ),
    *_in(
        "audit/receivers",
        ("push-of-others", "not self.tenants or tenant in self.tenants", "True", "a receiver is of its tenants"),
        (
            "push-partial",
            "if refused := _refused(answer):",
            "if False and (refused := 0):",
            "a refusal is none taken",
        ),
    ),
    *_in(
        "outgoing",
        (
            "push-by-one-key",
            "for key in self.keys)",
            "for key in self.keys[:1])",
            "a push is signed by every key in use",
        ),
    ),
    *_in(
        "store/cursors",
        ("cursor-of-two", "known.until_ns > at_ns and not alone", "False", "one process at a time pushes"),
        ("cursor-of-any", "if known is None or known.holder != run:", "if known is None:", "who lost it learns so"),
    ),
)

NOTICES = (*CONTENT, *WAY_OUT, *CHANNELS, *PUSHES, *CANARIES, *WAITING)
