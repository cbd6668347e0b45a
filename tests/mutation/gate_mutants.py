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
            'if name in _TOOL_PHASE and read.phase != "tool":',
            'if name == "allow" and read.phase != "tool":',
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
            "self.key_of(node, value) & context.guards:",
            "self.key_of(node, value) and context.guards:",
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
    *_in(
        "policy/gate/reads",
        (
            "reads-no-imports",
            "        yield path, (id(unit), -1)\n",
            "        yield from ()\n",
            "an import of the input is a read of it",
        ),
        (
            "reads-nothing-computed",
            "        yield from _references([step for step, _ in steps if not isinstance(step, str)], unit)",
            "        yield from ()",
            "what an index is computed from is read",
        ),
        (
            "reads-instants-replaced",
            "known = {} if replaced else _known(policy, found, org)",
            "known = _known(policy, found, org)",
            "where `with` is said, an instant is read as it is",
        ),
        (
            "reads-a-rule-by-its-long-name",
            "hidden = whole in ways or _below(whole, long)",
            "hidden = False",
            "an argument that a rule gives elsewhere is read as it is",
        ),
        (
            "reads-a-member-of-a-rule",
            "mention = compared.get(place) if len(path) == 1 else None",
            "mention = compared.get(place)",
            "what a member of a rule's value is compared with bounds nothing",
        ),
        (
            "reads-a-rule-with-another-value",
            "if value is not None and not others and name",
            "if value is not None and name",
            "an argument that a rule may have to agree with is read as it is",
        ),
        (
            "reads-an-element",
            "and not others and name not in CONTRACT:",
            "and not others:",
            "an argument that an element holds is read as it is",
        ),
        (
            "reads-a-chosen-value",
            "or rule.value is None or chosen or kind(",
            "or rule.value is None or kind(",
            "an argument that stands for another value is read as it is",
        ),
        (
            "reads-one-mention-of-an-instant",
            "if each is None or each.values is None:\n                return None",
            "if each is None or each.values is None:\n                continue",
            "an instant that is more than compared is read as it is",
        ),
        (
            "reads-without-organisation",
            "            if each.by_org:\n",
            "            if not each.by_org:\n",
            "an instant is known by its place among the organisation's numbers",
        ),
        (
            "reads-rounded-bounds",
            "return tuple(sorted(bounds)) if exact else None",
            "return tuple(sorted(bounds))",
            "a value that engines may round bounds no instant",
        ),
    ),
    *_in(
        "policy/kept",
        (
            "kept-with-evidence",
            'or not document or document["evidence"]:',
            "or not document:",
            "with evidence nothing is kept",
        ),
        (
            "kept-replays",
            "if self._all or asked.fresh or",
            "if self._all or",
            "a replay is evaluated anew",
        ),
        (
            "kept-everything-read",
            "if self._all or asked.fresh or",
            "if asked.fresh or",
            "of a bundle that reads all of the input nothing is kept",
        ),
        (
            "kept-across-bundles",
            "encode([engine, bundle.digest])",
            "encode([engine])",
            "a new bundle finds nothing of the old one",
        ),
        (
            "kept-across-tenants",
            '*COMPOSED_PATHS, ("caller", "tenant")}',
            "*COMPOSED_PATHS}",
            "nothing is shared between tenants",
        ),
        (
            "kept-across-subjects",
            'if any(path[0] in ("subject", "actors") for path in reads.paths if path):',
            "if not reads.paths:",
            "nothing is shared between subjects",
        ),
        (
            "kept-at-the-border",
            "(bisect_left(among, instant[name]), bisect_right(among, instant[name]))",
            "bisect_left(among, instant[name])",
            "the instant of a border is neither before nor after it",
        ),
        (
            "kept-arguments-at-the-border",
            "bisect_right(bounds, found[0]), len(bounds)]",
            "bisect_left(bounds, found[0]), len(bounds)]",
            "an argument that equals a bound is neither below nor above it",
        ),
        (
            "kept-truths-among-numbers",
            "len(found) == 1 and type(found[0]) is int",
            "len(found) == 1 and isinstance(found[0], int | float)",
            "what is no whole number enters as it is",
        ),
        (
            "kept-past-waivers",
            'waiver["expires_ns"] > instant["ns"] for waiver',
            'waiver["expires_ns"] > 0 for waiver',
            "a waiver that has ended softens nothing",
        ),
        (
            "kept-nothing-asserted",
            'self._asserted and document["asserted"] != NOTHING_ASSERTED',
            "False",
            "what is asserted is evaluated beside what is not",
        ),
        (
            "kept-null-for-nothing",
            "            return []\n",
            "            return [None]\n",
            "what is missing is not null",
        ),
        (
            "kept-text-for-members",
            "            return [depth, value]\n",
            "            return [value]\n",
            "what has no members is not its own member",
        ),
        (
            "kept-differs-allowed",
            "if kept is not None and answer != kept:",
            "if False:",
            "a kept answer that differs denies",
        ),
        (
            "kept-unchecked",
            "if kept is not None and not answers.due():",
            "if kept is not None:",
            "some hits are evaluated again",
        ),
        (
            "kept-goes-on",
            "self.on, self.differed = False, True",
            "self.differed = True",
            "a kept answer that differs ends keeping",
        ),
        (
            "kept-without-workers",
            "if answers.on and self.engine.workers else None",
            "if answers.on else None",
            "an engine that is away denies",
        ),
    ),
)
