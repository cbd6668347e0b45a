"""What an intruder does on a machine, as a command line shows it: programs, options and files by which it is known.

Facts of common knowledge, told as codes. Each of them is somebody's work on some day, so most are for people to look
at; `shell` has what no honest command needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Judge = Callable[[str, Sequence[str], str], bool]  # name, arguments without quotes, the command as written
_X = re.VERBOSE

# by what is written, wherever it stands in the line
TEXTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (code, re.compile(pattern, _X))
    for code, pattern in (
        (
            "credential_file",
            r"""\.(?:zsh|mysql|psql|python|sh|ash|fish)_history\b | /etc/(?:security/)?opasswd\b | \.config/gcloud\b
            | /\.azure/ | \.vault-token\b | \.npmrc\b | \.pypirc\b | \.my\.cnf\b | \.password-store\b | \.s3cfg\b
            | \.terraform\.d/credentials | /etc/kubernetes/\S{0,64}\.conf\b | /var/lib/kubelet | /etc/krb5\.
            | /tmp/krb5cc | \bcookies\.sqlite\b | \bDPAPI\b | /Library/Keychains | key(?:chain|ring)-db\b
            | /etc/(?:ssl/private|wireguard|openvpn|NetworkManager/system-connections|wpa_supplicant)\b""",
        ),
        (
            "persistence",
            r"""(?:/etc|/lib|/usr/lib|\.config)/systemd/(?:system|user)/ | /etc/(?:xdg/autostart|udev/rules\.d|
            modules\b|modules-load\.d|apt/apt\.conf\.d|dnf/plugins|NetworkManager/dispatcher\.d|environment\b|inittab\b|xinetd|
            ld\.so\.conf) | /usr/lib/udev/rules\.d | \.git/hooks/ | (?:tee|sed\s+-i)\b[^|;&\n]{0,200}
            \.(?:bashrc|bash_profile|bash_aliases|profile|zshrc|zprofile|cshrc|config/fish)
            | (?:user|site)customize\.py | \balias\s+(?:sudo|su|ssh)=""",
        ),
        (
            "privilege",
            r"""(?:>>?|\btee\b(?:\s+-a)?)\s*/etc/(?:passwd|group|sudoers|sudoers\.d|security|doas\.conf|ssh)\b
            | /var/run/docker\.sock | /run/containerd | \bnotify_on_release\b | \brelease_agent\b
            | \bcore_pattern\b | \bNOPASSWD\b""",
        ),
        ("exfiltration", r"""\b(?:nc|ncat|netcat)\s[^|;&\n<]{0,200}<\s*[/~.\w]"""),
        (
            "evasion",
            r"""(?:>|(?<![\w-])(?:rm|shred|truncate|unlink|srm|wipe)\b[^|;&\n]{0,200}[\s/])\s*/var/(?:log|run/utmp|adm)
            | /dev/null\s+(?:>\s{0,4})?(?:/var/log|[~/]\S{0,64}_history) | \bunset\s+(?:-v\s+)?HIST | \bexport\s+HIST
            | /selinux/enforce | /etc/selinux/config | \bSystemMaxUse= | com\.apple\.quarantine
            | \bexec\s+-a\b | \bkernel\.randomize_va_space | \bsysrq-trigger\b""",
        ),
    )
)

_TOOLS = frozenset(
    {
        *("nmap", "masscan", "zmap", "rustscan", "nikto", "gobuster", "ffuf", "dirb", "wfuzz", "amass", "subfinder"),
        *(
            "hydra",
            "medusa",
            "ncrack",
            "john",
            "hashcat",
            "unshadow",
            "sqlmap",
            "msfconsole",
            "msfvenom",
            "searchsploit",
        ),
        *("responder", "crackmapexec", "nxc", "evil-winrm", "impacket-secretsdump", "secretsdump.py", "kerbrute"),
        *(
            "mimipenguin",
            "lazagne",
            "laZagne.py",
            "linpeas",
            "linpeas.sh",
            "LinEnum.sh",
            "pspy",
            "pspy64",
            "enum4linux",
        ),
        *(
            "chisel",
            "proxychains",
            "proxychains4",
            "ligolo",
            "frpc",
            "ngrok",
            "iodine",
            "dnscat2",
            "sliver",
            "merlin",
        ),
        *(
            "rpcclient",
            "smbmap",
            "ldapdomaindump",
            "bloodhound",
            "onesixtyone",
            "snmpwalk",
            "xmrig",
            "slowloris",
            "hping3",
        ),
    }
)
_CAPTURES = frozenset(
    {
        *(
            "tcpdump",
            "tshark",
            "dumpcap",
            "ettercap",
            "bettercap",
            "arpspoof",
            "dsniff",
            "ngrep",
            "tcpflow",
            "logkeys",
        ),
        *("screencapture", "scrot", "gnome-screenshot", "xwd", "arecord", "parecord", "mitmproxy", "mitmdump"),
    }
)
_STORES = {
    "security": re.compile(r"find-(?:generic|internet)-password|dump-keychain|export\b|find-certificate"),
    "secret-tool": re.compile(r"\b(?:search|lookup)\b"),
    "gcore": re.compile(r""),
    "procdump": re.compile(r""),
    "pass": re.compile(r"^show\b"),
    "gcloud": re.compile(r"auth print-(?:access|identity)-token"),
    "gh": re.compile(r"auth token"),
    "az": re.compile(r"account get-access-token"),
    "kubectl": re.compile(r"\b(?:get|describe)\s+secrets?\b|create token"),
    "aws": re.compile(r"secretsmanager get-secret-value|ssm get-parameters?\b.*--with-decryption|get-session-token"),
    "vault": re.compile(r"^(?:kv\s+)?(?:get|read)\b"),
    "gpg": re.compile(r"--export-secret"),
    "klist": re.compile(r""),
    "ssh-add": re.compile(r"-L"),
}
_SECRET_WORD = re.compile(r"(?i)passw|secret|api[_-]?key|private[ _]key|credential|\btoken")
_SECRET_FILE = re.compile(
    r"(?i)id_rsa|\.pem\b|\.key\b|\.p12\b|\.pfx\b|\.kdbx?\b|\.ppk\b|passw|credential|\.ovpn\b|wallet\.dat"
)
_DAEMONS = re.compile(
    r"auditd|syslog|journald|iptables|firewalld?|ufw|falcon|apparmor|cbdaemon|crowdstrike|nxlog|fail2ban|osquery|wazuh|"
    r"clam(?:av|d)|sentinel|mdatp|ossec|aide|selinux|cylance|carbonblack|sysmon|auditbeat|filebeat"
)
_SECURITY_MODES = {
    "setenforce": "0", "aa-teardown": "", "aa-disable": "", "aa-complain": "", "dmesg": r"-[cC]|--clear",
    "journalctl": r"--vacuum|--rotate", "xattr": r"-[a-z]*[cd]", "wevtutil": "cl", "auditpol": "",
    "esxcli": "firewall|syslog",
    "sysctl": r"randomize_va_space|nmi_watchdog|exec-shield|dmesg_restrict|ptrace_scope", "apparmor_parser": r"-R",
    "timestomp": "",
}  # fmt: skip


def _tool(name: str, arguments: Sequence[str], _: str) -> bool:
    """A program made for attacks, or one used to look for open ports."""
    joined = " ".join(arguments)
    if name in ("nc", "ncat", "netcat"):
        return re.search(r"(?:^|\s)-[a-y]*z", joined) is not None
    if name in ("smbclient", "ldapsearch", "showmount"):
        return True
    return name in _TOOLS


def _captures(name: str, arguments: Sequence[str], _: str) -> bool:
    joined = " ".join(arguments)
    if name == "ffmpeg":
        return re.search(r"x11grab|avfoundation|-f\s+(?:alsa|pulse)", joined) is not None
    if name in ("xinput", "import", "xclip", "xsel", "pbpaste"):
        return name in ("pbpaste", "xclip", "xsel") or re.search(r"\btest|-window root", joined) is not None
    return name in _CAPTURES


def _reads_stores(name: str, arguments: Sequence[str], _: str) -> bool:
    """Reading stores of keys by their own programs, and looking for passwords in files."""
    joined = " ".join(arguments)
    if name in _STORES:
        return _STORES[name].search(joined) is not None
    if name in ("grep", "egrep", "fgrep", "rg", "ack", "zgrep"):
        deep = name == "rg" or any(re.fullmatch(r"-\w*[rR]\w*|--recursive", each) for each in arguments)
        wide = any(re.match(r"(?:/|~|\$HOME|\ufffd)", each) for each in arguments)
        return deep and wide and _SECRET_WORD.search(joined) is not None
    if name in ("find", "locate", "mdfind", "fd"):
        named = name != "find" or any(each in ("-name", "-iname", "-path", "-regex") for each in arguments)
        return named and _SECRET_FILE.search(joined) is not None
    return name == "getent" and arguments[:1] == ["shadow"]


def _switches_off(name: str, arguments: Sequence[str], raw: str) -> bool:
    joined = " ".join(arguments)
    if name in _SECURITY_MODES:
        return re.search(_SECURITY_MODES[name], joined) is not None
    if name in ("iptables", "ip6tables"):
        return re.search(r"-P\s+(?:INPUT|OUTPUT|FORWARD)\s+ACCEPT|(?:^|\s)-X\b", joined) is not None
    if name in ("systemctl", "service", "chkconfig", "rc-service", "update-rc.d", "launchctl"):
        return bool(re.search(r"\b(?:stop|disable|off|mask|unload|kill)\b", raw)) and bool(_DAEMONS.search(raw))
    if name in ("kill", "killall", "pkill", "apt", "apt-get", "yum", "dnf", "rpm", "dpkg", "rm"):
        ends = name in ("kill", "killall", "pkill", "rm") or re.search(
            r"\b(?:remove|purge|erase)\b|-e\b|-r\b|-P\b", joined
        )
        return bool(ends) and _DAEMONS.search(joined) is not None
    return name == "ln" and "/dev/null" in arguments and re.search(r"history|/var/log", joined) is not None


def _changes_accounts(name: str, arguments: Sequence[str], _: str) -> bool:
    """Accounts and groups, capabilities, and ways out of a container."""
    joined = " ".join(arguments)
    if name in ("docker", "podman", "nerdctl"):
        return (
            re.search(r"--privileged|--pid[= ]host|-v\s+/:|--volume[= ]/:|--cap-add|--userns[= ]host", joined)
            is not None
        )
    if name in ("chmod", "install"):
        return (
            re.search(r"(?:^|\s)(?:-m\s*)?[ugoa]*[=+]\w*s|(?:^|\s)(?:-m\s*)?0?[2467][0-7]{3}(?:\s|$)", joined)
            is not None
        )
    return name in {
        *("userdel", "deluser", "groupdel", "groupmod", "addgroup", "newusers", "vipw", "vigr", "chage", "chsh"),
        *(
            "dseditgroup",
            "sysadminctl",
            "nsenter",
            "capsh",
            "sudoedit",
            "newgrp",
            "pwconv",
            "faillock",
            "pam-auth-update",
        ),
    }


def _remains(name: str, arguments: Sequence[str], _: str) -> bool:
    joined = " ".join(arguments)
    if name in ("ssh-copy-id", "depmod", "atq", "anacron", "rc-update", "dracut", "update-initramfs"):
        return name != "atq"
    return name == "git" and re.search(r"core\.(?:hooksPath|fsmonitor|sshCommand)|alias\.\w+\s+!", joined) is not None


def _stops(name: str, arguments: Sequence[str], _: str) -> bool:
    if name in ("init", "telinit"):
        return arguments[:1] in (["0"], ["6"])
    if name == "systemctl":
        return bool({"poweroff", "reboot", "halt", "emergency", "rescue"} & set(arguments))
    if name == "kill":
        return "-1" in arguments[1:]
    return name in ("shutdown", "reboot", "halt", "poweroff")


_DECODED = re.compile(
    r"b64decode|base64_decode|fromhex|decode\(.hex|decompress\(|unhexlify|MIME::Base64|codecs\.decode|Buffer\.from\("
)
_RUN_CODE = re.compile(r"\b(?:exec|eval|system|assert|compile|Function)\b")


def _runs_encoded(name: str, arguments: Sequence[str], _: str) -> bool:
    """Code in an argument that decodes more code."""
    joined = " ".join(arguments)
    known = re.fullmatch(r"python[\d.]*|perl|php|ruby|node", name) is not None
    return known and _DECODED.search(joined) is not None and _RUN_CODE.search(joined) is not None


JUDGES: tuple[tuple[str, Judge], ...] = (
    ("attack_tool", _tool),
    ("capture", _captures),
    ("credential_file", _reads_stores),
    ("evasion", _switches_off),
    ("privilege", _changes_accounts),
    ("persistence", _remains),
    ("halt", _stops),
    ("obfuscated", _runs_encoded),
)
