"""Bugs planted in guards of arguments."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    path = f"pdp/content/guards/{file}.py"
    return tuple(Mutant(f"guard-{name}", path, old, new, attacks) for name, old, new, attacks in rows)


GUARDS = (
    *_in(
        "run",
        (
            "of-nothing-too-long",
            "> MAX_BYTES[kind]:",
            "> 10 * MAX_BYTES[kind]:",
            "a text that is too long is not parsed",
        ),
        (
            "failing-in-silence",
            "return (UNPARSED,)\n    return",
            "return ()\n    return",
            "a guard that fails has read nothing",
        ),
    ),
    *_in(
        "html",
        ("unclosed-tags", "stream(text + _END)", "stream(text)", "the page closes a last tag"),
        (
            "blanks-in-schemes",
            '_UNSEEN.sub("", address).lower()',
            "address.lower()",
            "blanks within a scheme are none to browsers",
        ),
        ("handlers", 're.match(r"on[a-z]", key)', 're.match(r"onclick", key)', "every event handler is one"),
        ("documents", "(not image and _DOCUMENT", "(image and _DOCUMENT", "a link to data: is a document of its own"),
        ("hidden-markup", 'yield "hidden_markup"', "pass", "markup in attributes and comments is read"),
        ("tags-unbounded", "self._tags -= 1", "self._tags -= 0", "so many tags are not judged"),
        ("attributes", 'yield "breakout"', "return", "a text may be put into an attribute"),
    ),
    *_in(
        "markdown",
        ("links", '{"image", "link_open"}', '{"image"}', "links run scripts"),
        ("signs-unbounded", "> MAX_OPEN:", "> 10**9:", "brackets take time that grows with their square"),
        ("addresses-left-out", "lambda url: True", "lambda url: False", "others do not leave out scripts"),
    ),
    *_in(
        "code",
        ("javascript", "for parser in _parsers():", "for parser in _parsers()[:1]:", "JavaScript is read"),
        ("errors-taken", "if not root.has_error:", "if True:", "what no grammar takes was not judged"),
        ("comments-unbounded", "> MAX_COMMENTS:", "> 10**9:", "comments of HTML take quadratic time"),
        ("names-in-texts", "any(map(_IN_TEXTS.search, names.texts))", "False", "formats name attributes"),
        ("names-cut-apart", '_IN_TEXTS.search("".join(names.texts))', "False", "a name put together is one"),
        (
            "spelled-otherwise",
            'unicodedata.normalize("NFKC", _unescaped(name))',
            "name",
            "look-alike and escaped letters are the same name",
        ),
        ("quotes", 'yield "breakout"', "return", "a value ends the quotes in which it stands"),
    ),
    *_in(
        "templates",
        ("unclosed", "end = len(text)", "return", "an expression that is never closed is one"),
        ("so-many", 'yield "template", ""', "return", "so many expressions hide none"),
        ("own-objects", "lower() in _OBJECTS", "lower() in ()", "an engine's own objects are no data"),
    ),
    *_in(
        "email",
        (
            "decoded-breaks",
            '_breaks(_decoded(text)) if "=?" in text else ()',
            "()",
            "an encoded word may hold a line break",
        ),
        ("second-address", 'outside.count("@") > len(addresses)', "False", "programs separate addresses differently"),
        ("shown-address", "address.addr_spec.casefold() !=", "None ==", "a name may show another address"),
        ("domains", "& _LOOK_AWAY", "& set()", "a domain is judged as that of a URL"),
        ("recipients-unbounded", 'outside.count("@") > MAX_RECIPIENTS', "False", "the parser takes quadratic time"),
    ),
)
