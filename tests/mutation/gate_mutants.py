"""Bugs planted in what keeps bad policy out: the reader of bundles and the load gate (`pdp/engines`)."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


LOADING = (
    *_in(
        "folder",
        (
            "folder-written-by-all",
            "if info.st_mode & stat.S_IWOTH:",
            "if info.st_mode & stat.S_ISVTX:",
            "policy that others may write is refused",
        ),
        (
            "folder-link-outside",
            "if not real.is_relative_to(self.root):",
            "if not self.root.exists():",
            "policy lies within its folder",
        ),
    ),
    *_in(
        "engines/bundle",
        (
            "bundle-data-in-packs",
            'len(parts) < 3 or not path.endswith(".rego"):',
            "len(parts) < 3:",
            "JSON is never a rule",
        ),
        (
            "bundle-pack-named-baseline",
            "if name in RESERVED or name",
            "if name",
            "no pack takes the place of ours",
        ),
    ),
    *_in(
        "engines/gate/contract",
        (
            "gate-hide-by-arguments",
            'elif name in _TOOL_PHASE and read.phase == "call":',
            'elif name == "allow" and read.phase == "call":',
            "allow and hide read nothing that only a call has",
        ),
        (
            "gate-reserved-facts",
            'if read.readers == "pdp":',
            'if read.readers == "pdp" and name == "allow":',
            "packs never read evidence or waivers",
        ),
        (
            "gate-asserted-allows",
            '_MAY_READ_ASSERTED = ("deny", "require")',
            '_MAY_READ_ASSERTED = ("deny", "require", "allow")',
            "asserted facts never allow",
        ),
    ),
    *_in(
        "engines/gate/references",
        (
            "gate-asserted-negated",
            "if context.negated and value.tainted:",
            "if context.negated and value.tainted and not steps:",
            "asserted facts never under not",
        ),
    ),
    *_in(
        "engines/gate/trial",
        ("gate-never-absent", "if fired and absent:", "if fired:", "a rule that always fires never becomes active"),
        ("gate-never-fires", "if fired and absent:", "if absent:", "a rule that never fires never becomes active"),
    ),
)
