"""Bugs planted in what keeps bad policy out: the reader of bundles and the load gate (`pdp/policy`)."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


LOADING = (
    *_in(
        "files/trusted_files",
        (
            "folder-written-by-all",
            "if info.st_mode & stat.S_IWOTH and not accepted:",
            "if info.st_mode & stat.S_ISVTX and not accepted:",
            "policy that others may write is refused",
        ),
        (
            "keys-written-by-a-group",
            "if info.st_mode & stat.S_IWGRP and info.st_gid != info.st_uid:",
            "if info.st_mode & stat.S_IWGRP and info.st_gid == info.st_uid:",
            "a group that may write keys or a directory is refused",
        ),
        (
            "folder-link-outside",
            "if not real.is_relative_to(self.root):",
            "if not self.root.exists():",
            "policy lies within its folder",
        ),
    ),
    *_in(
        "policy/bundle",
        (
            "bundle-data-in-packs",
            'len(parts) < 3 or not path.endswith(".rego"):',
            "len(parts) < 3:",
            "JSON is never a rule",
        ),
        (
            "bundle-tests-alone",
            "if not removed and name not in ruled:",
            "if not removed and name not in there:",
            "a pack has rules, not tests alone",
        ),
        (
            "bundle-pack-vanishes",
            "for name in sorted(set(after.packs) - set(bundle.packs)):",
            "for name in sorted(set(after.packs) - set(after.packs)):",
            "a pack that vanished replaces nothing",
        ),
        (
            "bundle-data-vanish",
            "if without and bundle.org != after.org:",
            "if without and not bundle.org:",
            "data that vanished replace nothing",
        ),
        (
            "bundle-pack-named-baseline",
            "if name in RESERVED or name",
            "if name",
            "no pack takes the place of ours",
        ),
    ),
    *_in(
        "policy/gate/listed",
        (
            "gate-listed-by-arguments",
            'all(read.phase == "tool" for read in reads)',
            "all(reads)",
            "what only a call has never affects a list",
        ),
        (
            "gate-listed-unfollowed",
            "not any(part.unfollowed for part in parts) and ",
            "",
            "what cannot be followed may be of a call",
        ),
        ("gate-listed-own-reads", "yield from (analyses[other]", "yield from (own", "rules that a denial uses count"),
        ("gate-listed-two-targets", "len(spelled) > 1 or ", "", "a second target is a look at the others"),
        (
            "gate-listed-targets-anyhow",
            " or not spelled <= set(_iterated(rule))",
            "",
            "a count of targets is a look at the others",
        ),
        (
            "gate-listed-any-use",
            "if (reads_targets and not member) or",
            "if",
            "a helper over targets is a look at the others",
        ),
        (
            "gate-listed-no-target",
            'denial.reads_targets and "target" not in',
            'denial.reads_targets and "code" not in',
            "a denial about targets names its target",
        ),
    ),
    *_in(
        "policy/gate/static_check",
        (
            "gate-hide-by-arguments",
            'if name in _TOOL_PHASE and read.phase == "call":',
            'if name == "allow" and read.phase == "call":',
            "allow and hide read nothing that only a call has",
        ),
    ),
    *_in(
        "policy/gate/policy",
        (
            "gate-reserved-facts",
            'if unit.package[:1] == ("pdp",) else facts_schema)',
            'if unit.package[:1] == ("pdp",) else dict)',
            "packs never read evidence or waivers",
        ),
    ),
    *_in(
        "policy/gate/parsing",
        (
            "gate-imports-itself",
            'elif path[0] == "data" and path[1:] == unit.package[: len(path) - 1] and not unit.module.is_test:',
            'elif path[0] == "data" and path[1:] == unit.package and unit.module.is_test:',
            "no pack imports itself",
        ),
    ),
    *_in(
        "policy/gate/literals",
        (
            "gate-literal-of-no-document",
            "return _valid(place, value.value) if value.value is not ANY else",
            "return True if value.value is not ANY else",
            "literals are held against the schema",
        ),
    ),
    *_in(
        "policy/gate/flow",
        (
            "gate-optional-by-anything",
            "self.evaluate(node, env, context)) & context.guards:",
            "self.evaluate(node, env, context)) and context.guards:",
            "an argument in an element is asked for by the body",
        ),
    ),
    *_in(
        "policy/gate/flow",
        (
            "gate-value-further-down",
            "inner.keys() - bound.keys())",
            "bound.keys() - inner.keys())",
            "a variable is used below its value",
        ),
    ),
    *_in(
        "policy/gate/expressions",
        (
            "gate-any-type",
            "if not types(option) <= taken]",
            "if not types(option) & taken]",
            "what a builtin takes has surely its type",
        ),
        (
            "gate-types-of-parameters",
            "if len(parameters) == len(wrong):",
            "if parameters:",
            "a function's argument has its type wherever it is called",
        ),
    ),
    *_in(
        "policy/gate/static_check",
        (
            "gate-types-of-some-calls",
            "if not all(types(value) <= needed.types",
            "if not any(types(value) <= needed.types",
            "a function's argument has its type wherever it is called",
        ),
    ),
    *_in(
        "policy/opa/process",
        (
            "opa-unproven",
            "if self._proven != self._made:",
            "if self._proven < 0:",
            "who answers has proven its roots",
        ),
        (
            "opa-proven-later",
            "self._fault, self._proven = None, made",
            "self._fault, self._proven = None, self._made",
            "who came after a proof has proven nothing",
        ),
    ),
    *_in(
        "policy/opa/engine",
        (
            "opa-blames-alone",
            "if witness is None or not witness.done() or not witness.result():",
            "if witness is None:",
            "a pause of OPA locks nobody out",
        ),
    ),
    *_in(
        "policy/gate/dynamic_check",
        (
            "gate-any-input",
            "        if problem:\n            self.invalid",
            "        if not document:\n            self.invalid",
            "a test counts only for an input that a request can have",
        ),
        (
            "gate-replaced-rules",
            'if names[:1] != ("input",) and names[:2] != ("data", "org"):',
            "if not names:",
            "a test that replaces rules shows nothing",
        ),
        (
            "gate-elements-of-other-tests",
            "for noted in (self.notes, self.invalid, self.given):",
            "for noted in (self.notes, self.invalid):",
            "a test shows what packs gave while it ran, and nothing of another",
        ),
        ("gate-never-absent", "if fired and absent:", "if fired:", "a rule that always fires never becomes active"),
        ("gate-never-fires", "if fired and absent:", "if absent:", "a rule that never fires never becomes active"),
    ),
)
