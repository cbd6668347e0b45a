"""What a manifest permits a tool to do, against what was observed."""

from __future__ import annotations

from support.for_each import for_each

from pdp.core.call.effects import MAX_OBJECT, PermittedEffect, comparable, permitted

HOSTS = {  # pattern: within it, and not
    "api.example.org": (
        ["api.example.org", "API.Example.ORG", "api.example.org.", "api.example.org:443", "api.example.org.:8443"],
        [
            *(
                "example.org",
                "a.api.example.org",
                "api.example.org.evil.net",
                "xapi.example.org",
                "api.example.org..",
            ),
            *("https://api.example.org", "api.example.org/x", "u@api.example.org", "api.example.org:443:1", ""),
            *("api.example.org:", "api.example.org:0", "api.example.org:65536", "api.example.org:\uff14\uff14\uff13"),
            *(
                "api.example.org\n",
                " api.example.org",
                "api.example.org ",
                "api\u200b.example.org",
                "\u0430pi.example.org",
            ),
            *("api.example.org\x00.evil.net", "api\u3002example.org", "api.example.org%00", "*", "*.example.org"),
        ],
    ),
    "api.example.org:443": (
        ["api.example.org:443", "api.example.org.:443", "api.example.org:0443"],
        ["api.example.org", "api.example.org:80", "api.example.org:4430"],
    ),
    "*.example.org": (
        ["a.example.org", "a.b.EXAMPLE.org.", "a.example.org:1"],
        ["example.org", ".example.org", "aexample.org", "a.example.org.net", "10.0.0.1", "*.example.org"],
    ),
    "*.example.org:443": (["a.example.org:443"], ["a.example.org", "a.example.org:80"]),
    "192.0.2.7": (
        ["192.0.2.7", "192.0.2.7:80", "::ffff:192.0.2.7", "[::ffff:c000:207]:80"],
        [
            *("192.0.2.70", "192.0.2.07", "0xc0.0.2.7", "3221225991", "192.0.519", "192.0.2.7.", "[192.0.2.7]"),
            *("192.0.2.7.nip.io", "192.0.2.7%eth0"),
        ],
    ),
    "[2001:db8::7]:443": (
        ["[2001:DB8:0::7]:443"],
        ["2001:db8::7", "[2001:db8::7]", "[2001:db8::7%eth0]:443", "[2001:db8::8]:443", "[api.example.org]:443"],
    ),
    "10.0.0.0/8": (["10.1.2.3", "10.1.2.3:22", "::ffff:10.1.2.3"], ["11.0.0.1", "10", "10.example.org", "::1"]),
    "2001:db8::/32": (["2001:db8:1::1", "[2001:db8:1::1]:443"], ["2001:db9::1", "10.0.0.1"]),
    "xn--bcher-kva.example": (["XN--bcher-kva.example"], ["bücher.example", "bucher.example"]),
    "*": (["anything", "https://x/", "", "\x1b[2J"], []),
}
PATHS = {
    "/srv/repos/": (
        ["/srv/repos", "/srv/repos/", "/srv/repos/a/b", "/srv//repos/a", "/srv/repos/...", "/srv/repos/ü b"],
        [
            *("/srv/repos2", "/srv", "/", "srv/repos/a", "/srv/repos/../x", "/srv/repos/./a", "/SRV/repos/a", "~/a"),
            *(
                "/srv/repos/a\x00",
                "/srv/repos/a\nb",
                "/srv/repos/\u202ea",
                "file:///srv/repos/a",
                "C:\\srv\\repos\\a",
            ),
            "/" + "srv/repos/" * MAX_OBJECT,
        ],
    ),
    "/etc/hosts": (["/etc/hosts", "//etc//hosts"], ["/etc/hosts2", "/etc/hosts/a", "/etc", "/etc/../etc/hosts"]),
    "/": (
        ["/etc/hosts", "/proc/cpuinfo", "/proc/self/status", "/dev/null"],
        [
            *(
                "/proc/self/root/etc/shadow",
                "/proc/1/cwd",
                "/proc//self/root/x",
                "/proc/1/task/2/root/x",
                "/dev/fd/3",
            ),
            *("/proc/self/exe", "/dev/stdin", "/proc/self/fd/4", "/proc/thread-self/root"),
        ],
    ),
}
OTHERS = {
    "/usr/bin/git": (
        ["/usr/bin/git"],
        ["git", "/usr/bin/git status", "/usr/bin/git\n", "/USR/bin/git", "/usr/bin/g"],
    ),
    "git": (["git"], ["/tmp/git", "git;rm", "git ", ""]),
    "*": (["anything at all"], []),
}


@for_each(("kind", "table"), [("network.connect", HOSTS), ("file.read", PATHS), ("process.start", OTHERS)])
def test_what_is_within_a_pattern(kind: str, table: dict[str, tuple[list[str], list[str]]]) -> None:
    wrong = [
        (pattern, each)
        for pattern, rows in table.items()
        for within, objects in zip((True, False), rows, strict=True)
        for each in objects
        if permitted([PermittedEffect(kind, pattern)], kind, each) is not within
    ]
    assert wrong == []
    assert [pattern for pattern in table if not comparable(kind, pattern)] == []


def test_nothing_declared_permits_nothing_and_a_kind_is_that_kind_alone() -> None:
    assert not permitted([], "network.connect", "api.example.org")
    reads = [PermittedEffect("file.read", "/srv/"), PermittedEffect("network.connect", "*")]
    assert permitted(reads, "file.read", "/srv/a")
    assert not permitted(reads, "file.write", "/srv/a")
    assert not permitted(reads, "file.read.all", "/srv/a")
    assert permitted([*reads, PermittedEffect("file.write", "/srv/")], "file.write", "/srv/a")


@for_each(
    ("kind", "pattern"),
    [
        ("network.connect", "https://api.example.org"),
        ("network.connect", "*example.org"),
        ("network.connect", "a.*.org"),
        ("network.connect", "10.0.0.1/8"),  # host bits: which of the two was meant?
        ("network.connect", "bücher.example"),
        ("network.connect", ""),
        ("file.read", "srv/"),
        ("file.read", "/srv/../etc/"),
        ("file.read", "/proc/self/root/"),
        ("process.start", ""),
        ("process.start", "git\n"),
    ],
)
def test_patterns_that_cannot_be_read(kind: str, pattern: str) -> None:
    assert not comparable(kind, pattern)
