"""Shell commands, read by the grammar of Bash (tree-sitter-bash): a whole command line, or one word of one.

Of a whole line the commands are looked at with their arguments as the shell would pass them on, without quotes;
scripts in arguments (`sh -c '…'`) are read like the line itself. A word is put where a tool would put it: bare,
between single and between double quotes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from pdp.content.guards.bash import UNKNOWN, ShellCommand, ShellLine, read_line
from pdp.content.guards.codes import UNPARSED
from pdp.content.guards.intrusion import JUDGES, TEXTS, Judge

MAX_SCRIPTS = 8  # scripts within a line, all levels together
_I = re.IGNORECASE
_X = re.VERBOSE


def whole(text: str) -> Iterator[str]:
    """The findings of a command line."""
    pending, read = [text], 0
    while pending:
        script = pending.pop()
        read += 1
        if read > MAX_SCRIPTS:
            yield UNPARSED
            return
        line, broken = read_line(script)
        if broken:
            yield UNPARSED
        yield from _of_text(script)
        yield from _of_line(line)
        for command in line.commands:
            pending.extend(_scripts(command))


def word(text: str) -> Iterator[str]:
    """The findings of a value that becomes one word of a command line."""
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
        yield "control"
    if text.startswith("-") and len(text) > 1 and not re.fullmatch(r"-?[\d.,]+%?", text):
        yield "option"
    for before, after in (("x ", ""), ("x '", "'"), ('x "', '"')):
        line, _ = read_line(f"{before}{text}{after}")
        yield from _beyond(line)
    if re.search(r"\$\(|`|<\(|>\(|\$\{[^}]*[^\w}]|\$IFS", text):
        yield "substitution"
    if re.search(r"(?:^|\s)\d*(?:<|>>?)&?\s*[\w/.]", text):
        yield "redirection"
    if re.search(r"[;|&]", _MARKER.sub("", text)):
        yield "operator"
    if _AFTER_OPERATOR.search(
        re.sub(r"[\\'\"^]|\$[@*!]|\$IFS|\$\{IFS\}", lambda m: " " if "IFS" in m[0] else "", _decode(text))
    ):
        yield "breakout"


# what an environment marker of a Python requirement begins with, which is no program
_MARKER = re.compile(
    r";(?=\s{0,4}\(?\s{0,4}(?:extra|python_(?:full_)?version|sys_platform|platform_\w{1,32}|os_name|implementation_name)\s{0,4}"
    r"(?:[=!<>~]=|[<>]|in\b|not in\b)\s{0,4}[\"'])"
)


def _decode(text: str) -> str:
    return re.sub(r"%([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), text)


def _beyond(line: ShellLine) -> Iterator[str]:
    """What a word brought into a line that had one command."""
    others = [each for each in line.commands if each.name != "x"]
    if any(_known(each) for each in others):
        yield "breakout"
    if line.substitutions:
        yield "substitution"
    if line.functions:
        yield "breakout"


_PROGRAMS = (
    "cat|tac|nl|head|tail|less|more|od|xxd|hexdump|strings|id|whoami|who|w|uname|hostname|pwd|ls|dir|ll|find|locate|which|"
    "type|echo|printf|sleep|ping|ping6|nslookup|dig|host|curl|wget|nc|ncat|netcat|socat|telnet|ftp|tftp|ssh|scp|sftp|rsync|"
    "ifconfig|ipconfig|ip|netstat|ss|arp|route|traceroute|tracert|ps|top|kill|killall|pkill|tasklist|taskkill|systeminfo|ver|"
    "net|reg|sc|wmic|powershell|pwsh|cmd|certutil|bitsadmin|mshta|rundll32|regsvr32|schtasks|cscript|wscript|set|env|export|"
    "printenv|rm|rmdir|del|erase|cp|mv|copy|move|touch|mkdir|ln|chmod|chown|chattr|dd|mkfs|mount|umount|shutdown|reboot|halt|"
    "bash|sh|zsh|dash|ksh|csh|busybox|python[23]?|perl|ruby|php|node|lua|awk|gawk|mawk|sed|grep|egrep|cut|sort|uniq|wc|tr|tee|"
    "xargs|base64|base32|openssl|gcc|cc|make|git|tar|zip|unzip|gzip|useradd|adduser|usermod|passwd|su|sudo|crontab|at|"
    "systemctl|service|iptables|getent|last|history|df|du|free|lsof|eval|exec|source|test|expr|true|false|date|finger|"
    "mail|sendmail|mknod|mkfifo|xterm|phpinfo|system|start|calc|notepad|findstr|netsh|vol|timeout|vim?|nano|screen|uptime|"
    "fsockopen|rev|dmesg|lsb_release|arch|groups|users|stat|file|jobs|bg|fg|alias|cd|diff|comm|paste|column|shuf|sqlmap|mysql"
)
_AFTER_OPERATOR = re.compile(
    rf"(?:[;|&\n\r`]|\$\(|%0a|%0d|\x1a)[\s\"'({{`]{{0,8}}(?:[\w./~?*-]{{0,128}}/)?(?:{_PROGRAMS})(?:\.exe)?(?=$|[\s;|&<>`'\")}}#%/\\,+$-])",
    _I,
)
_PROGRAM_PATH = re.compile(r"['\"]?(?:\./|/(?:bin|usr|sbin|tmp|var|opt|home|etc|dev)/)")
_NAMES = frozenset(_PROGRAMS.replace("python[23]?", "python|python2|python3").replace("vim?", "vi|vim").split("|"))


def _known(command: ShellCommand) -> bool:
    return command.name.lower().removesuffix(".exe") in _NAMES or bool(_PROGRAM_PATH.match(command.name_raw))


_SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "csh", "tcsh", "fish", "ash"})
_INTERPRETERS = _SHELLS | {"python", "perl", "ruby", "php", "node", "lua", "osascript", "tclsh", "pwsh", "powershell"}
_DOWNLOADERS = frozenset(
    {"curl", "wget", "fetch", "aria2c", "lwp-request", "lynx", "w3m", "http", "https", "GET", "tftp"}
)
_DECODERS = re.compile(
    r"""\bbase(?:64|32)\b.*(?:-d|-D|--decode|-di)\b | \bxxd\b.*-r | \bopenssl\b.*\benc\b.*-d | \bopenssl\ base64\b.*-d
    | \brev\b | \bb64decode\b | \bunhexlify\b | \bgunzip\b | \bzcat\b | \btr\b\s+\S*[a-z]-""",
    _X,
)
_PREFIXES = frozenset(
    {
        *(
            "sudo",
            "doas",
            "env",
            "nohup",
            "exec",
            "command",
            "builtin",
            "time",
            "nice",
            "ionice",
            "timeout",
            "setsid",
        ),
        *("stdbuf", "xargs", "busybox", "chroot", "unbuffer", "script", "watch", "parallel", "strace", "runuser"),
    }
)
_SOCKETS = re.compile(
    r"socket|fsockopen|IO::Socket|net\.connect|pty\.spawn|SOCK_STREAM|createConnection|/inet/|child_process|popen2?\(",
    _I,
)
_CODE_OPTION = re.compile(r"-[a-zA-Z]*[cer]\b|--eval|-Command", _I)


def _unwrapped(command: ShellCommand) -> tuple[str, list[str]]:
    """Name and arguments without what only starts them."""
    name, arguments = command.name, command.arguments
    while name in _PREFIXES and arguments:
        rest = [
            a
            for a in arguments
            if not a.startswith("-") and "=" not in a and not re.fullmatch(r"[\d.]+[smhd]?|root", a)
        ]
        if not rest:
            break
        at = arguments.index(rest[0])
        name, arguments = rest[0].rsplit("/", 1)[-1], arguments[at + 1 :]
    return name, arguments


def _scripts(command: ShellCommand) -> Iterator[str]:
    """Scripts that a command is given."""
    name, arguments = _unwrapped(command)
    if name in _SHELLS or name in ("su", "ssh"):
        for at, argument in enumerate(arguments[:-1]):
            if re.fullmatch(r"-[a-z]*c", argument):
                yield arguments[at + 1]
    elif name == "eval" and arguments:
        yield " ".join(arguments)
    elif name == "find":
        for at, argument in enumerate(arguments):
            if argument in ("-exec", "-execdir", "-ok"):
                yield shlex.join(a for a in arguments[at + 1 :] if a not in (";", "+", "{}"))


def _of_text(text: str) -> Iterator[str]:
    for code, pattern in (*_TEXTS, *TEXTS):
        if pattern.search(text):
            yield code


_TEXTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (code, re.compile(pattern, _X))
    for code, pattern in (
        (
            "reverse_shell",
            r"""/dev/(?:tcp|udp)/ | \bbash\ -i\s*[>&]
            | \bmk(?:fifo|nod)\b[^\n]{0,200}\b(?:nc|ncat|telnet|openssl|socat)\b""",
        ),
        (
            "obfuscated",
            r"""\$\{?IFS\b | \$'(?:\\x?[0-7a-fA-F]{2,3}){3} | (?:\\x[0-9a-fA-F]{2}){4}[^\n]*\|\s*(?:ba)?sh
            | \$\{(?:PATH|HOME|SHELL|PWD):\d | \$\{[!@]""",
        ),
        (
            "destructive",
            r""":\s*\(\)\s*\{[^}]{0,40}\|[^}]{0,40}&[^}]{0,8}\} | >\s*/dev/(?:[sh]d[a-z]|nvme|vd[a-z]|mmcblk)""",
        ),
        (
            "credential_file",
            r"""/etc/(?:shadow|gshadow|sudoers|master\.passwd|krb5\.keytab)\b | \.ssh/(?:id_|authorized|\*)
            | \bid_(?:rsa|ed25519|ecdsa|dsa)\b | \.aws/credentials | \.netrc\b | \.pgpass\b | \.git-credentials
            | \.docker/config\.json | \.kube/config | /proc/(?:self|\d+|\*)/(?:environ|mem|maps) | \.gnupg\b
            | login\.keychain | Login\ Data\b | logins\.json | key[34]\.db | 169\.254\.169\.254 | /run/secrets""",
        ),
        (
            "persistence",
            r"""/etc/(?:cron|rc\.local|profile\b|profile\.d|init\.d|ld\.so\.preload|systemd|update-motd|pam\.d|at\.)
            | /var/spool/cron | authorized_keys | \bLD_PRELOAD= | LaunchAgents | LaunchDaemons | /etc/emond
            | >>?\s*~?\S{0,256}\.(?:bashrc|bash_profile|profile|zshrc|zshenv|zprofile|bash_login|bash_logout|xprofile)
            | \.config/autostart | StartupItems""",
        ),
        (
            "evasion",
            r"""\bHIST(?:FILE|SIZE|FILESIZE|CONTROL)\b | \bhistory\s+-[cwd] | \.bash_history | \bset\ \+o\ history
            | \bsetenforce\s+0 | \bSELINUX= | DYLD_INSERT""",
        ),
    )
)


def _of_line(line: ShellLine) -> Iterator[str]:
    for command in line.commands:
        name, arguments = _unwrapped(command)
        if command.name_raw and _disguised(command):
            yield "obfuscated"
        if UNKNOWN in command.name and command.name.strip(UNKNOWN + "/") == "":
            yield "dynamic_command"
        for code, judge in (*_JUDGES, *JUDGES):
            if judge(name, arguments, command.raw):
                yield code
    yield from _of_pipes(line)


def _disguised(command: ShellCommand) -> bool:
    """Quotes or escapes within the name of a command, which nobody needs."""
    written = command.name_raw
    inner = re.search(r"\w['\"\\]+\w|\w['\"]{2}|\\\w\w*\\|^['\"]\w['\"]\w|[\w/][?*\[]+[\w/]*[?*\]]", written)
    return inner is not None and not re.search(r"^\$|\s|^\"[^\"]*\"$|^'[^']*'$|[A-Za-z]:\\", written)


def _of_pipes(line: ShellLine) -> Iterator[str]:
    loads = [c for c in line.commands if _unwrapped(c)[0] in _DOWNLOADERS]
    runs = [c for c in line.commands if _runs(c)]
    fed = [c for c in runs if c.pipe and any(other.pipe == c.pipe and other is not c for other in line.commands)]
    if loads and (
        fed
        or any(
            c.name in ("eval", "source", ".") or UNKNOWN in c.raw or "<(" in c.raw or "$(" in c.raw or "`" in c.raw
            for c in runs
        )
    ):
        yield "remote_code"
    if loads and any(_starts_loaded(c) for c in line.commands if c not in loads):
        yield "remote_code"
    if fed and any(_DECODERS.search(c.raw) for c in line.commands):
        yield "obfuscated"
    if any(c.name in ("eval", *_SHELLS) and UNKNOWN in "".join(c.arguments) for c in runs) and any(
        _DECODERS.search(c.raw) for c in line.commands if c.inside
    ):
        yield "obfuscated"


def _runs(command: ShellCommand) -> bool:
    name, _ = _unwrapped(command)
    return re.sub(r"[\d.]+$", "", name) in _INTERPRETERS or name in ("eval", "source", ".")


def _starts_loaded(command: ShellCommand) -> bool:
    name, arguments = _unwrapped(command)
    if name == "chmod":
        return any(re.fullmatch(r"[ugoa]*\+[rws]*x\w*|[0-7]?7[0-7]{2}", each) for each in arguments)
    return command.name_raw.startswith(("./", "/tmp/", "/var/tmp/", "/dev/shm/")) or (  # noqa: S108 - looked for
        _runs(command) and any(re.search(r"\.(?:sh|py|pl|rb|php|js)$|^/tmp/|^\./", each) for each in arguments)
    )


_ROOTS = re.compile(
    r"/+\*?|~/?\*?|/\.\*?|\.\*|/(?:home|etc|usr|var|boot|bin|lib|root|opt|sys|proc|dev|srv)/?\*?|\$HOME/?\*?|\*|--no-preserve-root|C:\\?\*?",
    _I,
)


def _destroys(name: str, arguments: Sequence[str], _: str) -> bool:
    flags = "".join(a[1:] for a in arguments if a.startswith("-") and not a.startswith("--"))
    if name == "rm":
        deep = "r" in flags.lower() or "--recursive" in arguments
        return deep and ("--no-preserve-root" in arguments or any(_ROOTS.fullmatch(a) for a in arguments if a != "*"))
    if name in ("chmod", "chown"):
        return "R" in flags and any(_ROOTS.fullmatch(a) for a in arguments if a not in ("*", ".*"))
    if name == "dd":
        return any(re.match(r"of=/dev/(?!null|stdout|stderr|zero)", a) for a in arguments)
    if name == "shred":
        return any(a.startswith("/dev/") for a in arguments)
    return name.startswith("mkfs") or name in ("wipefs", "vssadmin")


def _connects(name: str, arguments: Sequence[str], _: str) -> bool:
    joined = " ".join(arguments)
    if name in ("nc", "ncat", "netcat", "nc.traditional", "nc.openbsd", "nc.exe", "ncat.exe"):
        return (
            bool(re.search(r"(?:^|\s)-[a-z]*[ec]\s|--(?:sh-)?exec|-e/|(?:^|\s)-[a-z]*e", joined + " "))
            or "/bin/" in joined
        )
    if name == "socat":
        return bool(re.search(r"exec:|system:|pty", joined, _I))
    if name in ("awk", "gawk", "mawk"):
        return "/inet/" in joined
    if re.sub(r"[\d.]+$", "", name) in _INTERPRETERS:
        return any(map(_CODE_OPTION.fullmatch, arguments)) and bool(_SOCKETS.search(joined))
    return name == "xterm" and "-display" in arguments


def _sends(name: str, arguments: Sequence[str], raw: str) -> bool:
    joined = " ".join(arguments)
    if name == "curl":
        return bool(
            re.search(r"(?:-d|--data\S*|-F|--form)\s*\S*@|(?:^|\s)(?:-T|--upload-file)\b|\ufffd", joined)
        ) and bool(re.search(r"@|-T|--upload|(?:-d|--data\S*|\?\S*)\s*\S*\ufffd", joined))
    if name == "wget":
        return "--post-file" in joined or "--body-file" in joined
    if name in ("nslookup", "dig", "ping", "host"):
        return bool(re.search(r"\ufffd[\w.-]*\.[a-z]{2,}", joined)) and ("$(" in raw or "`" in raw)
    return False


def _gains(name: str, arguments: Sequence[str], raw: str) -> bool:
    if name == "chmod":
        return any(re.fullmatch(r"[ugoa]*\+\w*s\w*|[2467][0-7]{3}", a) for a in arguments)
    return raw.startswith(("sudo ", "doas ")) or name in (
        "su",
        "pkexec",
        "setcap",
        "visudo",
        "usermod",
        "useradd",
        "adduser",
        "passwd",
        "chpasswd",
        "dscl",
        "gpasswd",
        "groupadd",
        "net",
    )


def _stays(name: str, arguments: Sequence[str], _: str) -> bool:
    if name == "crontab":
        return "-l" not in arguments
    if name in ("systemctl", "chkconfig", "update-rc.d"):
        return bool({"enable", "daemon-reload", "on", "defaults"} & set(arguments))
    return name in ("at", "batch", "launchctl", "insmod", "modprobe", "kextload", "systemd-run", "loginctl")


def _hides(name: str, arguments: Sequence[str], raw: str) -> bool:
    if name in ("iptables", "ip6tables", "nft"):
        return bool({"-F", "--flush", "-D", "flush"} & set(arguments))
    if name in ("systemctl", "service", "chkconfig"):
        return bool(re.search(r"(?:stop|disable|off|mask)\b", raw)) and bool(
            re.search(r"auditd|syslog|iptables|firewall|ufw|falcon|apparmor|cbdaemon|crowdstrike|nxlog|fail2ban", raw)
        )
    return (
        name in ("auditctl", "spctl", "csrutil", "fdesetup", "tmutil", "chattr", "setenforce")
        or (name == "ufw" and "disable" in arguments)
        or (name == "touch" and bool({"-t", "-r", "-acmr", "-am"} & set(arguments)))
    )


_JUDGES: tuple[tuple[str, Judge], ...] = (
    ("destructive", _destroys),
    ("reverse_shell", _connects),
    ("exfiltration", _sends),
    ("privilege", _gains),
    ("persistence", _stays),
    ("evasion", _hides),
)
