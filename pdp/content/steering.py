"""Files that steer agents, shells, repositories and pipelines: what is written there is done later, by somebody else.

A name tells them, in whatever spelling a file system reads it: `.`, `..` and empty parts, case, compatibility and
invisible characters, blanks and dots at the end. Of a command what it writes is looked for, of a patch its files.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote

from pdp.content.guards.path import plain

MAX_PATH = 4_096  # characters of a text that may be a path
MAX_NAMES = 256  # of a command or patch that are looked at
# by what they steer: how a path ends, or what folders it has, in lower case
_FILES: Mapping[str, Sequence[str]] = {
    "agent": (  # instructions, settings, tools and hooks of agents
        r"(?:agents?|claude(?:\.local)?|gemini|qwen|skill|codex|copilot-instructions)\.md$",
        r"\.(?:cursorrules|windsurfrules|clinerules|roorules|goosehints)(?:$|/)",
        r"\.(?:claude|codex|gemini|cursor|windsurf|roo|cline|continue|kiro|junie|amazonq|trae|qwen|opencode|goose)(?:$|/)",
        r"\.github/(?:instructions|prompts|agents|chatmodes)(?:$|/)",
        r"(?:\.?mcp|mcp_config|mcp_settings|claude_desktop_config|\.claude|opencode)\.jsonc?$|\.aider\.conf\.ya?ml$",
    ),
    "shell": (  # what a shell or an interpreter reads when it starts
        r"\.(?:bashrc|bash_profile|bash_login|bash_logout|bash_aliases|profile|login|kshrc|cshrc|tcshrc)$",
        r"\.(?:zshrc|zshenv|zprofile|zlogin|zlogout|inputrc|envrc|xprofile|xinitrc|xsession|xsessionrc)$",
        r"\.(?:pam_environment|vimrc|exrc|tmux\.conf|pythonrc(?:\.py)?)$|(?:site|user)customize\.py$",
        r"\.config/(?:fish|environment\.d|powershell)/|(?:microsoft\.powershell_)?profile\.ps1$",
        r"etc/(?:profile|profile\.d|bash\.bashrc|bashrc|zsh|environment|ld\.so\.preload)(?:$|/)",
    ),
    "repository": (  # what a version control system runs
        r"(?:\.git|git~\d)(?:/modules/[^/]+)*/(?:hooks|config|info)(?:$|[/.])",
        r"\.git(?:config|attributes|modules)$|\.config/git/|\.(?:husky|githooks)(?:$|/)|(?:\.hg/hgrc|\.hgrc)$",
        r"hooks/(?:pre-[a-z-]+|post-[a-z-]+|(?:prepare-)?commit-msg|applypatch-msg|update|fsmonitor-watchman)$",
        r"\.?(?:pre-commit-config|lefthook|lefthook-local)\.ya?ml$",
    ),
    "pipeline": (  # what a service builds, tests or deploys with
        r"\.(?:github|gitea|forgejo)/(?:workflows|actions)(?:$|/)|\.github/dependabot\.ya?ml$|\.gitlab/ci(?:$|/)",
        r"\.(?:circleci|buildkite|woodpecker|drone|teamcity|harness)(?:$|/)|jenkinsfile(?:$|\.)",
        r"(?:\.gitlab-ci|\.travis|\.drone|\.woodpecker|\.?appveyor|\.cirrus)\.ya?ml$",
        r"(?:azure-pipelines[a-z.-]*|bitbucket-pipelines|cloudbuild|buildspec)\.ya?ml$",
    ),
    "start": (  # what a system or an editor runs by itself, and who may come in
        r"\.config/(?:autostart|systemd/user)(?:$|/)|library/launch(?:agents|daemons)(?:$|/)|spool/cron(?:$|/)|crontab$",
        r"etc/(?:cron[a-z.]*|systemd|init\.d|rc\.local|xdg/autostart|udev/rules\.d|sudoers[a-z.]*)(?:$|/)",
        r"start menu/programs/startup(?:$|/)|\.ssh/(?:authorized_keys2?|config|rc|environment)$",
        r"\.vscode/(?:settings|tasks|launch|extensions)\.json$|\.devcontainer(?:$|/|\.json$)|\.idea/runconfigurations(?:$|/)",
    ),
}
_PATTERNS = {detail: re.compile(f"(?:^|/)(?:{'|'.join(ends)})") for detail, ends in _FILES.items()}
# of one of these a name is made that steers, so that most texts are passed over at once
_HINT = re.compile(
    r"(?:^|[/\\])\.|\.(?:md|ya?ml|json)|jenkinsfile|hooks|etc[/\\]|cron|start|launch|customize|profile|git~|mcp|%"
)
_UNSEEN = re.compile("[\u00ad\u034f\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
_PATCHED = re.compile(
    r"^(?:\+\+\+ |--- |(?:rename|copy) to |\*\*\* (?:(?:Add|Update|Delete) File|Move to): )\"?([^\n\"\t]{1,512})",
    re.MULTILINE,
)
_WORD = re.compile(r"[^\s\"'`;|&<>()=,{}]{2,512}")
_WRITES = re.compile(
    r">|\b(?:tee|cp|mv|ln|install|rsync|scp|touch|rm|unlink|truncate|chmod|dd|patch|ed|ex|vim?|nano|emacs|sponge|unzip|tar"
    r"|curl|wget|python[\d.]*|node|deno|bun|perl|ruby|php|awk|new-item|set-content|add-content|out-file|copy-item|move-item)\b"
    r"|\bsed\b.{0,64}\s-\w{0,8}i|\bgit\s+(?:apply|checkout|restore|mv|rm|am)\b|-o\b",
)
# settings that a command changes without naming their file
_SETS = {
    "repository": re.compile(
        r"\b(?:core\.(?:hookspath|fsmonitor|sshcommand|editor|pager)|(?:alias|filter|credential)\.\w)"
    ),
    "agent": re.compile(r"\b(?:claude|codex|gemini|qwen|goose|opencode)\s+mcp\s+add|--add-mcp\b"),
    "start": re.compile(
        r"\bcrontab\b(?!\s+-l)|\bsystemctl\s+(?:--user\s+)?enable\b|\blaunchctl\s+(?:load|bootstrap)\b"
    ),
}


def steered(text: str, *, command: bool = False) -> Iterator[str]:
    """What the files steer that a text names: as a path, in a patch, or with `command` as what a command writes."""
    read = text if text.isascii() else _UNSEEN.sub("", unicodedata.normalize("NFKC", text))
    if command:
        low = read.lower()
        yield from (detail for detail, pattern in _SETS.items() if pattern.search(low))
        if _WRITES.search(low):
            yield from _named(_WORD.findall(read)[:MAX_NAMES])
    elif "\n" in read:
        yield from _named([name.removeprefix("b/") for name in _PATCHED.findall(read)[:MAX_NAMES]])
    elif len(read) <= MAX_PATH and _HINT.search(read.lower()):
        yield from _named([read])


def _named(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        path = re.sub(r"^file:/{2,3}", "/", name, flags=re.IGNORECASE)
        low = plain(unquote(path) if "%" in path else path).lower()
        yield from (detail for detail, pattern in _PATTERNS.items() if pattern.search(low))
