"""Where a file may stand: its package follows from its folder, and what it may import."""

from __future__ import annotations

from collections.abc import Iterator

from pdp.core.policy import Module
from pdp.policy.gate.report import Finding, did_you_mean
from pdp.policy.gate.syntax import Unit

# the keywords of Rego v1; later ones, such as a `not` with a body, mean something else where they are not known
_KEYWORDS = frozenset({("in",), ("every",), ("if",), ("contains",)})


def expected(module: Module) -> str:
    """The package that a module's folder asks for; a trailing `.` means it or anything below it."""
    parts = module.path.split("/")
    if parts[0] == "packs":
        return f"{parts[1]}_test" if module.is_test else f"packs.{parts[1]}"
    if parts[0] == "baseline":
        return "baseline_test" if module.is_test else "packs.baseline"
    return parts[0] + "." if not module.is_test else "_test"


def check(unit: Unit) -> Iterator[Finding]:
    """The package and imports of one file."""
    found = ".".join(unit.package)
    want = expected(unit.module)
    if want == "_test":  # tests of ours may stand anywhere but among what decides
        if not unit.package[-1].endswith("_test") or unit.package[0] == "packs":
            hint = f"Write `package {unit.module.path.split('/')[0]}_test`."
            yield unit.finding(unit.package_span, "package.shape", "A test stands in a package of its own.", hint)
    elif want.endswith("."):
        if found != want[:-1] and not found.startswith(want):
            message = f"The folder holds `package {want[:-1]}`, not `{found}`."
            yield unit.finding(unit.package_span, "package.shape", message, f"Write `package {want[:-1]}`.")
    elif found != want:
        message = f"The file says `package {found}`, its folder asks for `{want}`."
        hint = f"Write `package {want}`. A pack is one package, without sub-packages; its tests have their own."
        yield unit.finding(unit.package_span, "package.shape", message, hint)
    yield from _imports(unit)


def _imports(unit: Unit) -> Iterator[Finding]:
    for alias, (path, span) in unit.imports.items():
        if path == ("rego", "v1") or (path[:2] == ("future", "keywords") and path[2:] in _KEYWORDS):
            continue
        if alias in ("input", "data") or path == ("data",):
            message = "An import of everything, or under the name of it, hides what is read."
            yield unit.finding(
                span, "import.whole", message, "Import one package, for example `import data.lib.time`."
            )
        elif path == ("input",):
            yield unit.finding(
                span, "import.whole", "`input` under another name hides what is read.", "Read input.x."
            )
        elif path[0] not in ("input", "data"):
            hint = did_you_mean(path[0], ["input", "data"], "Only data.lib, data.org and input can be imported.")
            yield unit.finding(span, "import.unknown", f"`{'.'.join(path)}` is nothing to import.", hint)
        elif path[0] == "data" and path[1:] == unit.package[: len(path) - 1] and not unit.module.is_test:
            message = "The package imports itself; the embedded engine then answers by the order of evaluation."
            hint = "Use the rule's name alone, or in a pack of several files its full path, `{}`."
            yield unit.finding(span, "import.self", message, hint.format(".".join(("data", *unit.package, "rule"))))
        elif unit.package[0] == "packs" and path[0] == "data" and not _allowed(unit, path):
            message = f"A pack may not read `{'.'.join(path)}`."
            hint = "A pack reads its own package, data.lib and data.org; the input has everything else."
            yield unit.finding(span, "reads.foreign", message, hint)


def _allowed(unit: Unit, path: tuple[str, ...]) -> bool:
    return path[1:2] in (("lib",), ("org",)) or path[1 : 1 + len(unit.package)] == unit.package
