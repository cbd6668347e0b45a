"""Bugs planted in the console (`pdp/adapters/console`): in its doors, its sign-in, its forms and what it shows."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(
        Mutant(f"console-{name}", f"pdp/adapters/console/{file}", old, new, attacks)
        for name, old, new, attacks in rows
    )


DOORS = _in(
    "guard.py",
    ("framed", "\"frame-ancestors 'none'\",", "", "no page is framed"),
    ("inline-script", "\"script-src 'self'\"", "\"script-src 'self' 'unsafe-inline'\"", "no inline script runs"),
    ("any-host", "!= [self._host]:", "!= [self._host] and False:", "one host only"),
    ("long-body", "if taken > self._limit:", "if False:", "bodies are bounded"),
    ("announced-body", "or int(length) > self._limit", "", "bodies are bounded by what they say"),
    ("kept", '"cache-control": "no-store",', "", "nothing is kept"),
)
FORMS = _in(
    "visit.py",
    ("any-origin", "if origin != options.public_url or site", "if site", "forms come from our own pages"),
    ("any-site", 'or site != "same-origin":', ":", "browsers say where forms come from"),
    (
        "no-token",
        'request.url.path, form.get(TOKEN_FIELD, "")):',
        'request.url.path, form.get(TOKEN_FIELD, "")) and False:',
        "forms carry their token",
    ),
    ("stale-sign-in", "if not console.sessions.fresh(session):", "if False:", "to act one signed in lately"),
    ("twice-named", "if len(dict(pairs)) != len(pairs):", "if False:", "a field is named once"),
    ("any-form", "if kind != _FORM:", "if False:", "only plain forms"),
)
SESSIONS = _in(
    "session.py",
    ("endless", "self._clock.now_ns() < expires_ns and ", "", "sessions end"),
    ("signed-out", " and session_id not in self._ended", "", "signing out ends a copied cookie"),
    ("old-tenant", "if not self._configured(content):", "if False:", "the tenant is the configuration's"),
    ("one-token", 'f"{session.id}\\0{form}".encode()', 'f"{session.id}".encode()', "a token is one form's"),
    ("shared-token", 'f"{session.id}\\0{form}".encode()', 'f"{form}".encode()', "a token is one session's"),
    (
        "script-reads",
        "httponly=True, secure=self._options.https, samesite",
        "secure=self._options.https, samesite",
        "scripts do not read the session",
    ),
    ("lax", 'sealed, same_site="strict"', 'sealed, same_site="lax"', "the session's cookie is strict"),
    ("always-fresh", "* 60 * NS\n", "* 6000 * NS\n", "a recent sign-in is recent"),
)
SIGN_IN = (
    *_in(
        "signin.py",
        ("any-state", 'and kept["state"] == request.query_params.get("state")', "", "the answer is to this attempt"),
        ("late", 'and self._clock.now_ns() < kept["expires_ns"]', "", "an attempt ends"),
        ("elsewhere", ' and not target.startswith("//")', "", "nobody is led elsewhere"),
        ("backslash", ' and "\\\\" not in target', "", "nobody is led elsewhere by a backslash"),
        (
            "attempt-kept",
            "self._console.sessions.drop_cookie(response, self._cookie)",
            "pass",
            "an attempt is used once",
        ),
        (
            "open-sign-out",
            "if not sessions.holds(session",
            "if False and not sessions.holds(session",
            "nobody is signed out by others",
        ),
    ),
    *_in(
        "oidc.py",
        ("any-issuer", '(claims.get("iss") == options.issuer,', "(True,", "the ID token is the provider's"),
        ("any-audience", "(audience in (ours, [ours]),", "(True,", "the ID token is ours"),
        ("any-azp", 'in ("azp", "client_id")', 'in ("client_id",)', "the ID token was issued to us"),
        ("any-client", 'in ("azp", "client_id")', 'in ("azp",)', "the ID token was issued to us"),
        ("any-nonce", '(claims.get("nonce") == nonce,', "(True,", "the ID token is this attempt's"),
        ("any-time", "(_is_timely(claims, now),", "(True,", "the ID token is valid now"),
        ("future-proof", "(proved <= now + _SKEW,", "(True,", "nobody proved it later than now"),
        ("agent", 'if "act" in claims:', "if False:", "an agent cannot sign in"),
        ("own-key", "_REFUSED_HEADERS.isdisjoint(decoded.header)", "True", "no header brings a key"),
    ),
    *_in(
        "oidc.py",
        ("no-verifier", '"code_verifier": attempt.verifier,', "", "PKCE"),
        ("plain", '"code_challenge_method": "S256",', '"code_challenge_method": "plain",', "PKCE by S256"),
        ("mixed-up", "if (issuer or about.names_itself) and issuer != self.options.issuer:", "if False:", "RFC 9207"),
        (
            "other-metadata",
            '            or metadata.get("issuer") != self.options.issuer\n',
            "",
            "metadata is the issuer's own",
        ),
        ("plain-endpoint", "or not all(map(self._fit, places))", "", "addresses are https"),
        ("endless-answer", "if len(body) > _MAX_DOCUMENT:", "if False:", "answers are bounded"),
    ),
)
PAGES = (
    *_in(
        "visit.py",
        ("unescaped", "autoescape=True", "autoescape=False", "everything is escaped"),
        ("unseen", "finalize=_inert,", "", "everything deceptive is spelled out"),
        ("unseen-block", "return escape(visible(text, lines=True))", "return escape(text)", "in blocks too"),
    ),
    *_in(
        "request_page.py",
        (
            "unread",
            'if choice == "approve" and not _saw_everything(visit, presented):',
            "if False:",
            "who approves has seen all",
        ),
        (
            "whole",
            ' and view.presented and not rows.more else ""',
            ' and view.presented else ""',
            "rows left out count",
        ),
        ("parts-skipped", "return part <= 1 or", "return True or", "who approves has seen every part"),
        ("approves-own", "and (votes or (passkey", "and (True or (passkey", "pages offer what is possible"),
        ("any-absent", "if human not in dict(await _absent(visit)):", "if False:", "one stands in for who is away"),
    ),
    *_in(
        "request_page.py",
        (
            "cut-values",
            "or any(row.value.hidden or row.previous.hidden for row in shown))",
            ")",
            "a value of which something is left out counts as cut",
        ),
        ("no-tail", "text[at:], len(text))", '"", len(text))', "the end of a value is seen"),
    ),
    *_in(
        "passkeys.py",
        (
            "unverified-human",
            "credential_current_sign_count=0,\n                require_user_verification=True",
            "credential_current_sign_count=0,\n                require_user_verification=False",
            "the human is verified",
        ),
        (
            "anybodys-key",
            "for each in self.of(person) if",
            "for each in (p for m in self._directories.of(person.tenant).members.values() for p in m.passkeys) if",
            "the key is this human's",
        ),
        ("no-challenge", "if passkey is None or not challenge_bytes:", "if passkey is None:", "something is signed"),
    ),
    *_in(
        "server.py",
        (
            "accounts",
            "if production and options.development_accounts:",
            "if False:",
            "no passwordless accounts in production",
        ),
        (
            "plaintext",
            'and (bare == "localhost" or not is_loopback(bare)):',
            "and False:",
            "no plaintext on a network",
        ),
    ),
)

RECORDS = _in(
    "records.py",
    (
        "records-for-all",
        "if AUDIT not in person.roles or person.tenant == ANY_TENANT:",
        "if person.tenant == ANY_TENANT:",
        "records are for auditors",
    ),
    (
        "records-of-any-tenant",
        'Caller("", person.tenant, frozenset(), frozenset())',
        'Caller("", ANY_TENANT, frozenset(), frozenset())',
        "another tenant's records do not exist",
    ),
    (
        "reading-by-nobody",
        'Reader("", person.account)',
        'Reader("")',
        "who reads is recorded",
    ),
)

CONSOLE = (*DOORS, *RECORDS, *FORMS, *SESSIONS, *SIGN_IN, *PAGES)
