"""What packs name of the registry: servers, tools and arguments, rule by rule. The gate has no registry itself;
`pdp.authoring.registry_names` compares."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pdp.core.digest import Json
from pdp.policy.gate import elements, literals
from pdp.policy.gate.analyses import Analyses
from pdp.policy.gate.paths import NAMED
from pdp.policy.gate.policy import CONTRACT, Analysis, Key, Named, Policy, closure
from pdp.policy.gate.report import Name, Naming
from pdp.policy.gate.syntax import Body, Rule, Unit, kind, span_of, string
from pdp.policy.gate.value import Place, Scalar, options

_STEP = re.compile(r"\.([^.\[]+)|\[(_|\"[^\"]*\")\]")


def of(policy: Policy, org: Json) -> Iterator[Naming]:
    """One for each rule of each organisation's pack that names something; `org` is what `data.org` holds."""
    analyses = Analyses(policy).all()
    for (package, name), rules in policy.groups.items():
        if package[:1] != ("packs",) or name not in CONTRACT or rules[0].unit.module.shipped:
            continue
        for rule in rules:
            names = _meta(rule) if name == "meta" else _of_rule(rule, (package, name), analyses, org)
            element = elements.of_rule(rule)[0] if name != "meta" else None
            if found := tuple(sorted(set(names))):
                yield Naming(package[1], name, element.code if element else "", found)


def _meta(rule: Rule) -> Iterator[Name]:
    fields = {string(key): value for _, key, value in kind(rule.value)[1]["fields"]} if rule.value else {}
    for server in kind(fields["servers"])[1]["items"]:
        yield _name("server", string(server) or "", rule.unit, span_of(server))


def _of_rule(rule: Rule, key: Key, analyses: Mapping[Key, Analysis], org: Json) -> Iterator[Name]:
    """What one definition names itself, and what all rules name that it uses."""
    starts = [int(other.span["start"]) for other in rule.unit.rules]
    start = int(rule.span["start"])
    end = min((other for other in starts if other > start), default=len(rule.unit.source) + 1)

    def mine(unit: Unit, span: Body) -> bool:
        return unit is rule.unit and start <= int(span["start"]) < end

    own = [named for named in _all(analyses[key], analyses) if mine(named.unit, named.span)]
    used = {way for use in analyses[key].uses if mine(use.unit, use.span) for way in closure(use.key, analyses)}
    own += [named for other in used - {key} if other in analyses for named in _all(analyses[other], analyses)]
    for named in own:
        yield from _names(named, org)


def _all(analysis: Analysis, analyses: Mapping[Key, Analysis]) -> Iterator[Named]:
    """What a rule names, also by comparing its parameters."""
    yield from analysis.named
    for expected in analysis.expected:
        for value in literals.handed_over(expected.parameter, analyses):
            label = value.label if isinstance(value, Place) else ""
            if label in NAMED:
                yield Named(NAMED[label], expected.value, expected.unit, expected.span)


def _names(named: Named, org: Json) -> Iterator[Name]:
    what = "tool" if named.kind == "key" else named.kind
    for option in options(named.value):
        source = option.label if isinstance(option, Place) and option.label.startswith("data.org") else ""
        texts = _values(org, source) if source else [option.value] if isinstance(option, Scalar) else []
        for text in texts:
            if isinstance(text, str):
                given = text.removeprefix("tool:") if named.kind == "key" else text
                yield _name(what, given, named.unit, named.span, source)


def _name(what: str, name: str, unit: Unit, span: Body, source: str = "") -> Name:
    place = unit.place(span)
    return Name(unit.module.path, place.line, place.column, what, name, source)


def _values(org: Json, label: str) -> list[Json]:
    """What the organisation's data has at `data.org.a[_].b`."""
    found = [org]
    for member, index in _STEP.findall(label.removeprefix("data.org")):
        if index == "_":
            found = [item for value in found if isinstance(value, list) for item in value]
        else:
            key = member or index.strip('"')
            found = [value[key] for value in found if isinstance(value, dict) and key in value]
    return found
