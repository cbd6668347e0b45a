"""Formats of credentials, and characters that people cannot see.

Precision over recall: each format is a documented prefix with a length, or what stands between scheme and host of a
URI, so a hit is worth a denial. All run in linear time on hostile text: repeats are bounded, or cannot start inside
their own run. `pdp.core.text.credentials` searches for them.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """One format. `kind` is the finding's kind, `name` its detail; `hints`: one of them stands in every hit, in this
    spelling or (`any_case`) in small letters."""

    kind: str  # "secret" | "bearer_token"
    name: str
    hints: tuple[str, ...]
    text: re.Pattern[str]
    rest: re.Pattern[str]  # what may still belong to it
    after: str = ""  # besides letters and digits, what it does not come after; no look-behind, which would be slow
    until: str | None = None  # likewise, what does not come after it; None: anything may
    any_case: bool = False
    of_words: bool = False  # reads like words, too
    within: bool = False  # of a longer word
    lead: str = ""  # what it begins with, within what `text` matches

    def stands(self, text: str, start: int, end: int) -> bool:
        """Whether one can stand there, by the characters around."""
        if start and not self.within and _goes_on(text[start - 1], self.after):
            return False
        return self.until is None or end == len(text) or not _goes_on(text[end], self.until)


def _goes_on(char: str, others: str) -> bool:
    return char.isascii() and (char.isalnum() or char in others)


_WORD = re.compile(r"[A-Za-z0-9_-]*")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]*")
_NOTHING = re.compile("")


def _secret(name: str, hints: str, body: str, *, ended: bool = False) -> Pattern:
    return Pattern("secret", name, tuple(hints.split()), re.compile(body), _WORD, until="" if ended else None)


def _bearer(name: str, lead: str, body: str) -> Pattern:
    return Pattern("bearer_token", name, (lead,), re.compile(body), _TOKEN, after="_-", lead=lead)


def _within(name: str, hints: str, body: str, *, any_case: bool = False) -> Pattern:
    compiled = re.compile(body)
    return Pattern(
        "secret",
        name,
        tuple(hints.split()),
        compiled,
        _NOTHING,
        any_case=any_case,
        of_words=True,
        within=hints == "://",
    )


PRIVATE_KEY, CONNECTION = "private_key", "connection_string"
KEY_END = re.compile(r"-----END [A-Z0-9 ]{1,64}-----")
# from the beginning of the run, or each start within it would be tried
_RUN = r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{11,}\."
_JWT = _RUN + r"eyJ[A-Za-z0-9_-]{4,}\.(?:[A-Za-z0-9_-]{8}|(?![^\s\"',;]))"
_ENCRYPTED = _RUN + r"[A-Za-z0-9_-]{0,1000}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{22}"
# needs a digit: "Bearer authentication-documentation" is prose
_BEARER = r"(?i:bearer)[ \t]{0,8}(?=[A-Za-z._~+/=-]{0,63}\d)[A-Za-z0-9._~+/-]{16}"
# a password that stands for one: a template, asterisks, the word itself
_NO_VALUE = r"(?!(?:[<{$*%\[/]|[xX]{3,}|\.\.\.|(?i:your|pass(?:word|wd)?|pwd|secret|redacted)(?![A-Za-z0-9])))"

# names say the service; a format is what its maker documents, most of them also rules of gitleaks
PATTERNS = (
    _secret(PRIVATE_KEY, "PRIVATE", r"-----BEGIN[ A-Z0-9]{0,52}PRIVATE ?KEY(?: ?BLOCK)?-----"),
    _secret("age_key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[02-9A-Z]{58}"),
    _secret("airtable_token", "pat", r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}", ended=True),
    _secret("alibaba_access_key", "LTAI", r"LTAI[A-Za-z0-9]{20}", ended=True),
    _secret("anthropic_key", "sk-ant-", r"sk-ant-[a-z0-9]{3,8}-[A-Za-z0-9_-]{40}"),
    _secret("artifactory_key", "AKCp cmVmd", r"(?:AKCp[A-Za-z0-9]{69}|cmVmd[A-Za-z0-9]{59})", ended=True),
    _secret("aws_access_key", "AKIA ASIA ABIA ACCA", r"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}", ended=True),
    _secret("aws_bedrock_key", "ABSK bedrock-api-key-", r"(?:ABSK|bedrock-api-key-)[A-Za-z0-9+/]{100}"),
    _secret(
        "azure_client_secret",
        " ".join(f"{n}Q~" for n in range(10)),
        r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}",
        ended=True,
    ),
    _secret("clojars_token", "CLOJARS_", r"CLOJARS_[a-z0-9]{60}"),
    _secret("cloudflare_key", "v1.0-", r"v1\.0-[a-f0-9]{24}-[a-f0-9]{146}"),
    _secret("databricks_token", "dapi", r"dapi[a-f0-9]{32}(?:-\d)?", ended=True),
    _secret("digitalocean_token", "doo_v1_ dop_v1_ dor_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    _secret("discord_webhook", "discord", r"https://discord(?:app)?\.com/api/webhooks/\d{17,20}/[\w-]{60}"),
    _secret("docker_token", "dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{27}"),
    _secret("doppler_token", "dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40}"),
    _secret("duffel_token", "duffel_", r"duffel_(?:test|live)_[A-Za-z0-9_=-]{43}"),
    _secret("dynatrace_token", "dt0", r"dt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    _secret("easypost_key", "EZAK EZTK", r"EZ[AT]K[A-Za-z0-9]{54}"),
    _secret("facebook_token", "EAAM EAAC", r"EAA[MC][A-Za-z0-9]{100}"),
    _secret("figma_token", "figd_", r"figd_[A-Za-z0-9_-]{40}"),
    _secret("flutterwave_key", "FLWSECK", r"FLWSECK(?:_TEST)?-[a-h0-9]{12,32}(?:-X)?", ended=True),
    _secret("fly_token", "fo1_ fm1a_ fm1r_ fm2_", r"(?:fo1_[\w-]{43}|fm(?:1[ar]|2)_[A-Za-z0-9+/]{100})"),
    _secret("frameio_token", "fio-u-", r"fio-u-[A-Za-z0-9_=-]{64}"),
    _secret("github_token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36}"),
    _secret("github_token", "github_pat_", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _secret(
        "gitlab_token",
        "glpat- gldt- glft- glrt- glcbt- glsoat- glimt- glptt- glffct- glagent- gloas-",
        r"gl(?:pat|dt|ft|rt|cbt|soat|imt|ptt|ffct|agent|oas)-[A-Za-z0-9_-]{20}",
    ),
    _secret("gitlab_token", "GR1348941", r"GR1348941[A-Za-z0-9_-]{20}"),
    _secret("google_api_key", "AIza", r"AIza[0-9A-Za-z_-]{35}", ended=True),
    _secret("google_client_secret", "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{28}"),
    _secret("grafana_token", "glsa_ glc_", r"(?:glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|glc_[A-Za-z0-9+/]{32})"),
    _secret("groq_key", "gsk_", r"gsk_[A-Za-z0-9]{52}", ended=True),
    _secret("harness_key", "pat. sat.", r"[ps]at\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}"),
    _secret("heroku_key", "HRKU-AA", r"HRKU-AA[0-9A-Za-z_-]{58}"),
    _secret("huggingface_token", "hf_ api_org_", r"(?:hf|api_org)_[A-Za-z]{34}", ended=True),
    _secret("infracost_key", "ico-", r"ico-[A-Za-z0-9]{32}", ended=True),
    _secret("linear_key", "lin_api_", r"lin_api_[A-Za-z0-9]{40}"),
    _secret("mailchimp_key", "-us", r"[a-f0-9]{32}-us\d{1,2}", ended=True),
    _secret("netlify_token", "nfp_", r"nfp_[A-Za-z0-9_]{36}"),
    _secret("notion_token", "ntn_", r"ntn_\d{11}[A-Za-z0-9]{35}"),
    _secret("npm_token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _secret("nuget_key", "oy2", r"oy2[a-z0-9]{43}", ended=True),
    _secret("octopus_key", "API-", r"API-[A-Z0-9]{26}", ended=True),
    _secret(
        "onepassword_token", "ops_eyJ A3-", r"(?:ops_eyJ[A-Za-z0-9+/]{250}|A3-[A-Z0-9]{6}(?:-[A-Z0-9]{5,11}){4,5})"
    ),
    _secret("openai_key", "sk-", r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40}"),
    _secret("openai_key", "T3BlbkFJ", r"sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"),
    _secret("openshift_token", "sha256~", r"sha256~[\w-]{43}"),
    _secret("perplexity_key", "pplx-", r"pplx-[A-Za-z0-9]{48}"),
    _secret("planetscale_token", "pscale_", r"pscale_(?:tkn|oauth|pw)_[A-Za-z0-9_=.-]{32}"),
    _secret("postman_key", "PMAK-", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    _secret("prefect_key", "pnu_", r"pnu_[A-Za-z0-9]{36}", ended=True),
    _secret("pulumi_token", "pul-", r"pul-[a-f0-9]{40}"),
    _secret("pypi_token", "pypi-", r"pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{50}"),
    _secret("readme_key", "rdme_", r"rdme_[a-z0-9]{70}"),
    _secret("replicate_token", "r8_", r"r8_[A-Za-z0-9]{37}", ended=True),
    _secret("rubygems_key", "rubygems_", r"rubygems_[a-f0-9]{48}"),
    _secret("scalingo_token", "tk-us-", r"tk-us-[\w-]{48}"),
    _secret("sendgrid_key", "SG.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _secret("sendinblue_key", "xkeysib-", r"xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}"),
    _secret("sentry_token", "sntrys_eyJ sntryu_", r"(?:sntrys_eyJ[A-Za-z0-9+/=_]{60}|sntryu_[a-f0-9]{64})"),
    _secret("settlemint_token", "sm_", r"sm_[aps]at_[A-Za-z0-9]{16}", ended=True),
    _secret("shippo_token", "shippo_", r"shippo_(?:live|test)_[a-fA-F0-9]{40}"),
    _secret("shopify_token", "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _secret("slack_token", "xox", r"xox[abeoprs]-[A-Za-z0-9-]{10}"),
    _secret("slack_token", "xoxe.xox", r"xoxe\.xox[bp]-\d-[A-Za-z0-9]{100}"),
    _secret("slack_token", "xapp-", r"xapp-\d-[A-Z0-9]{8,16}-\d{6,20}-[a-f0-9]{16}"),
    _secret(
        "slack_webhook",
        "hooks.slack",
        r"https://hooks\.slack\.com/(?:services/T[A-Z0-9]{6,16}/B[A-Z0-9]{6,16}/[A-Za-z0-9]{16}"
        r"|(?:workflows|triggers)/[A-Za-z0-9/]{40})",
    ),
    _secret("sourcegraph_token", "sgp_", r"sgp_(?:(?:[a-fA-F0-9]{16}|local)_)?[a-fA-F0-9]{40}"),
    _secret("square_token", "sq0atp- sq0csp- EAAA", r"(?:sq0(?:atp-[\w-]{22}|csp-[\w-]{43})|EAAA[\w-]{60})"),
    _secret("stripe_key", "k_live_ k_prod_", r"[rs]k_(?:live|prod)_[A-Za-z0-9]{24}"),
    _secret("supabase_token", "sbp_", r"sbp_[a-f0-9]{40}"),
    _secret("tailscale_key", "tskey-", r"tskey-[a-z]{3,10}-[A-Za-z0-9]{8,20}-[A-Za-z0-9]{20}"),
    _secret(
        "teams_webhook", "webhook.office", r"https://[a-z0-9-]{1,63}\.webhook\.office\.com/webhookb2/[a-z0-9-]{36}@"
    ),
    _secret("telegram_token", " ".join(f"{n}:A" for n in range(10)), r"\d{8,10}:A[A-Za-z0-9_-]{34}", ended=True),
    _secret("terraform_token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60}"),
    _secret("twilio_key", " ".join(f"SK{c}" for c in "0123456789abcdef"), r"SK[0-9a-f]{32}", ended=True),
    _secret("vault_token", "hvs. hvb.", r"hv[sb]\.[\w-]{90}"),
    _secret("vercel_token", "vcp_ vci_ vca_", r"vc[pia]_[A-Za-z0-9]{24}"),
    _secret("xai_key", "xai-", r"xai-[A-Za-z0-9]{70}"),
    _bearer("google_oauth", "ya29.", r"ya29\.[A-Za-z0-9_-]{20}"),
    _bearer("jwt", "eyJ", _JWT),
    _bearer("jwe", "eyJ", _ENCRYPTED),
    Pattern("bearer_token", "bearer", ("bearer",), re.compile(_BEARER), _TOKEN, any_case=True, of_words=True),
    # the credentials between scheme and host
    _within(CONNECTION, "://", rf"(?<=://)[^\s/@:\"'<>]{{0,100}}:{_NO_VALUE}[^\s/@\"'<>]{{1,200}}@(?=[A-Za-z0-9\[])"),
    _within(
        CONNECTION,
        "password pwd accountkey sharedaccesskey",
        r"(?i)(?:password|pwd|accountkey|sharedaccesskey)\s{0,4}=\s{0,4}"
        rf"{_NO_VALUE}[^;\s\"']{{1,200}}(?=;|\"|'|$)",
        any_case=True,
    ),
)

_EXACT = tuple({hint: None for pattern in PATTERNS if not pattern.any_case for hint in pattern.hints})
_ANY_CASE = tuple({hint: None for pattern in PATTERNS if pattern.any_case for hint in pattern.hints})
_LONG = 512  # characters; where looking for each hint by itself takes longer than to know all pairs of characters


def _pairs(text: str) -> set[int]:
    """Every two characters beside each other, as numbers: the bytes by twos, and again one byte on. What is
    not in Latin-1 is in no hint."""
    raw = text.encode("latin-1", "replace")
    size = len(raw)
    return set(array("H", raw[: size & ~1])) | set(array("H", raw[1 : size - (size - 1) % 2]))


# the first three letters of every hint, in small letters
_BEGINNINGS = frozenset(tuple(hint[:3].lower()) for hint in (*_EXACT, *_ANY_CASE))
_PAIRS_OF_HINTS = tuple((hint, frozenset(_pairs(hint))) for hint in _EXACT)


def hinted(text: str) -> tuple[Pattern, ...]:
    """The formats that may stand in a text: of most texts none."""
    small = text.lower()
    if _BEGINNINGS.isdisjoint(zip(small, small[1:], small[2:], strict=False)):
        return ()
    found = {hint for hint in _possible(text) if hint in text} | {hint for hint in _ANY_CASE if hint in small}
    return tuple(p for p in PATTERNS if not found.isdisjoint(p.hints)) if found else ()


def hinted_among(formats: Iterable[Pattern], window: str) -> Iterator[Pattern]:
    """Those of some formats that may stand in a part of their text."""
    small = window.lower()
    return (p for p in formats if any(hint in (small if p.any_case else window) for hint in p.hints))


def _possible(text: str) -> Iterable[str]:
    """The hints of which every pair of characters stands in a long text."""
    if len(text) < _LONG:
        return _EXACT
    pairs = _pairs(text)
    return (hint for hint, needed in _PAIRS_OF_HINTS if needed <= pairs)


_HIDDEN = (
    ("bidi", "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"),
    ("zero_width", "\u00ad\u034f\u180e\u200b-\u200d\u2060-\u2064\ufeff"),
    ("tags", "\U000e0000-\U000e007f"),
    # U+FE0F (show as emoji) is in everyday text
    ("variation_selector", "\ufe00-\ufe0e\U000e0100-\U000e01ef"),
    ("filler", "\u115f\u1160\u3164\uffa0\u206a-\u206f\ufff9-\ufffb"),
    ("control", "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"),
)
ANY_HIDDEN = re.compile("[" + "".join(ranges for _, ranges in _HIDDEN) + "]")
_EACH_HIDDEN = tuple((name, re.compile(f"[{ranges}]")) for name, ranges in _HIDDEN)


def hidden_in(text: str) -> tuple[str, ...]:
    """The classes of invisible or direction-changing characters in `text`."""
    if ANY_HIDDEN.search(text) is None:
        return ()
    return tuple(name for name, ranges in _EACH_HIDDEN if ranges.search(text))
