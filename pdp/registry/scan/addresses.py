"""Places that data could leave by, and places on a machine that hold secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from pdp.core.patterns import secrets_in
from pdp.registry.scan.finding import Rule, excerpt_of

SECRET = Rule("secret.format", "high", "A credential stands in the definition: revoke it, and have it taken out.")
DROP = Rule("address.drop", "high", "A service made to receive data from anywhere; no definition needs one.")
NUMERIC = Rule("address.numeric", "high", "A bare network address of a public host; ask whose it is.")
METADATA = Rule("address.metadata", "high", "A cloud's metadata service, which hands out credentials.")
MAIL = Rule("address.mail", "medium", "A real e-mail address; ask whose it is and why the model should know it.")
LINK = Rule("address.link", "low", "A link; see that it belongs to the server's maker.")
CONFIG = Rule("path.configuration", "medium", "A file that may hold secrets; see that the tool is about that file.")
PATH = Rule("path.sensitive", "high", "A file that holds secrets; a description has no reason to name it.")
SHELL = Rule("code.shell", "high", "Shell or script text that does harm when run.")
INNER = Rule("address.internal", "medium", "A resource or host inside somebody's network.")

_DROPS = re.compile(
    r"(?:webhook\.site|requestbin|pipedream\.net|hookbin|beeceptor\.com|ngrok(?:-free)?\.(?:io|app|dev)|trycloudflare\.com|"
    r"burpcollaborator|oastify\.com|oast\.(?:fun|pro|live|site|online|me)|interact\.sh|interactsh|dnslog|canarytokens|"
    r"pastebin\.com|transfer\.sh|file\.io/|0x0\.st|termbin\.com|discord(?:app)?\.com/api/webhooks|api\.telegram\.org/bot|"
    r"hooks\.slack\.com/services|serveo\.net|localtunnel|loca\.lt|requestcatcher\.com|mockbin|anonfiles|gofile\.io|"
    r"(?:attacker|attkr|evil|malicious|exfil|hacker|c2)[a-z0-9-]{0,30}\.[a-z]{2,12}\b)"
)
_LABELLED = re.compile(
    r"(?:api[ _-]?key|secret(?:[ _-]?key)?|access[ _-]?key|aws secret|(?:auth|access|api|bearer|session)[ _-]?token|password|passwd|pwd)[\"'`]{0,2}\s{0,3}[:=]\s{0,3}[\"'`]{0,2}"
    r"(?![a-z<{$]{0,12}(?:your|example|xxx|placeholder|env|\.\.\.|redacted|string|optional|required|none|null|true|false))"
    r"(?=[^\s\"'`]{0,60}\d)(?=[^\s\"'`]{0,60}[a-z])[a-z0-9/+_.!@#$%^&*=-]{10,200}|"
    r"[a-z][a-z0-9+]{2,16}://[a-z0-9_.-]{1,64}:(?!(?:password|pass|pwd|secret|your)\b)[^\s@/:<{\[$*]{4,64}@[a-z0-9.-]{1,253}"
)
_HOST = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(?![\w.]\d)")
_MAIL = re.compile(r"[a-z0-9._%+-]{1,64}@((?:[a-z0-9-]{1,63}\.){1,5}[a-z]{2,24})(?![a-z0-9])")
_LINK = re.compile(r"https?://([a-z0-9.-]{1,253})")
_INNER = re.compile(r"(?:internal|intranet|corp)://|\b(?:[a-z0-9-]{1,63}\.){1,4}(?:internal|corp|intranet|lan)\b")
_RESERVED = re.compile(r"(?:^|\.)(?:example\.(?:com|org|net|edu)|example|test|invalid|localhost|acme\.com|company\.com|domain\.com|email\.com|mail\.com|yourdomain\.com|gmail\.com)$")
_METADATA = re.compile(r"169\.254\.169\.254|metadata\.google\.internal|100\.100\.100\.200|fd00:ec2::254")
_PATHS = re.compile(
    r"(?<![a-z0-9])(?:"
    r"\.ssh(?:[/\\]|\b)|id_(?:rsa|ed25519|dsa|ecdsa)|authorized_keys|\.aws[/\\]|\.gnupg|\.netrc|"
    r"\.npmrc|\.pypirc|\.git-credentials|\.docker[/\\]config|\.bash_history|\.zsh_history|\.cursor[/\\]|"
    r"claude_desktop_config|\.config[/\\]gcloud|/etc/(?:passwd|shadow|sudoers|hosts\b|ssh)|/proc/self|/var/run/secrets|"
    r"wallet\.dat|keychain|login data|cookies\.sqlite|credentials\.(?:json|ya?ml|xml|csv|txt|db)|"
    r"secrets?\.(?:json|ya?ml|txt|env|db)|service[_-]account\.json|ntds\.dit|c:\\windows\\system32\\config|"
    r"private_?key\.pem|\.pem\b|\.keystore|\.kdbx)"
)
_CONFIG = re.compile(
    r"(?<![a-z0-9])(?:(?:~|\$home|/home/[^\s/]{1,40}|/root|/users/[^\s/]{1,40}|%userprofile%)[/\\]\.[a-z]|known_hosts|mcp\.json|\.env\b(?!\.example)|\.pem\b)"
)
_SHELL = re.compile(
    r"rm -[rf]{1,3}[ /]|\|\s?(?:ba|z)?sh\b|curl\s[^\n|]{0,200}\|\s?(?:ba|z|python)|wget\s[^\n]{0,120}-o-?\s?\||/dev/tcp/|"
    r"\bnc\s+-[a-z]{0,3}e|base64\s+(?:-d|--decode)|\|\s?base64\b|\b(?:printenv|env)\s?\||powershell(?:\.exe)?\s+-(?:e|enc|nop|w)|chmod\s+(?:\+x|777|u\+s)|"
    r"\bos\.system\(|\bsubprocess\.|__import__\(|\beval\(|(?<![.\w])exec\(|\bcrontab\b|ssh-rsa aa|ssh-ed25519 aa|;\s?(?:curl|wget|nc|bash|sh|cat)\s|"
    r"\$\((?:curl|cat|whoami|wget|env|id)\b|`(?:curl|wget|whoami|cat /)[^`]{0,200}`|(?:curl|wget)\s[^\n]{0,80}(?:-d|--data|-f|--post-file|-x post|@)|"
    r"\bdrop table\b|'\s?or\s?'?1'?\s?=|child_process|\breverse shell\b|\bmkfifo\b|\bdd if=|:\(\)\s?\{"
)


def addresses(text: str) -> Iterator[tuple[Rule, str]]:
    """Each rule that holds of a text without hidden characters, in lower case."""
    if (match := _DROPS.search(text)) is not None:
        yield DROP, excerpt_of(text, match.start(), match.end())
    if _LABELLED.search(text) is not None:
        yield SECRET, "a value labelled as a credential"
    if (match := _METADATA.search(text)) is not None:
        yield METADATA, excerpt_of(text, match.start(), match.end())
    for rule, shape, foreign in ((NUMERIC, _HOST, _public), (MAIL, _MAIL, _real), (LINK, _LINK, _real)):
        for found in shape.finditer(text):
            if foreign(found[1]):
                yield rule, excerpt_of(text, found.start(), found.end())
                break
    for rule, shape in ((INNER, _INNER), (PATH, _PATHS), (CONFIG, _CONFIG), (SHELL, _SHELL)):
        if (match := shape.search(text)) is not None:
            yield rule, excerpt_of(text, match.start(), match.end())


def secrets(text: str) -> Iterator[tuple[Rule, str]]:
    """The formats of credentials in a text as written; never the credential itself."""
    for pattern in secrets_in(text):
        yield SECRET, f"{pattern.kind}: {pattern.name}"


def _public(host: str) -> bool:
    try:
        return ip_address(host).is_global and host not in ("8.8.8.8", "1.1.1.1", "1.2.3.4")
    except ValueError:
        return False


def _real(host: str) -> bool:
    return _RESERVED.search(host) is None
