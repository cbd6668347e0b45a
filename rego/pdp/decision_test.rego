package pdp_test

import data.lib.testing

# Two packs: what follows changes one thing at a time.
packs(rules) := {
	"baseline": object.union(silent, {"meta": {"servers": [], "owner": "pdp"}}),
	"acme": object.union(silent, object.union(granting, rules)),
}

silent := {"allow": set(), "hide": set(), "deny": set(), "require": set(), "oblige": set(), "label": set()}

granting := {
	"meta": {"servers": ["git"], "owner": "security"},
	"allow": {{"target": "tool:git_status", "code": "acme.granted"}},
}

loaded := {"policy": {"packs": ["acme", "baseline"]}}

# Elements come as JSON, where sets are lists.
lists(elements) := {p: {name: listed(value) | some name, value in pack} | some p, pack in elements}

listed(value) := [element | some element in value] if is_set(value)

else := value

call(overrides) := testing.call(object.union(loaded, overrides))

list(overrides) := object.union(testing.list(["git_status", "git_reset"]), object.union(loaded, overrides))

decide(rules, question) := composed_of(packs(rules), question)

composed_of(elements, question) := decision if {
	told := {
		"schema": "pdp.composition/1",
		"elements": lists(elements),
		"asserted_elements": null,
	}
	decision := data.pdp.decision with input as object.union(question, told)
}

codes(decision) := {r.code | some r in decision.reasons}

denied_for(decision, code) if {
	decision.effect == "deny"
	code in codes(decision)
	decision.requirements == set()
	decision.obligations == set()
}

test_good_call_is_allowed_with_the_code_of_its_grant if {
	decide({}, call({})) == {
		"effect": "allow",
		"reasons": {{"code": "acme.granted", "message": "", "rule": "packs.acme.allow", "control": ""}},
		"requirements": set(),
		"later": set(),
		"obligations": set(),
		"visible": {"tool:git_status"},
		"hidden": set(),
		"waived": set(),
	}
}

test_good_list_shows_what_is_granted_and_says_why_the_rest_is_hidden if {
	decide({}, list({})) == {
		"effect": "deny",
		"reasons": set(),
		"requirements": set(),
		"obligations": set(),
		"visible": {"tool:git_status"},
		"hidden": {{
			"key": "tool:git_reset",
			"reasons": {{
				"code": "policy.not_granted",
				"message": "No pack grants this target.",
				"rule": "pdp.gate",
				"control": "",
			}},
		}},
		"waived": set(),
	}
}

test_call_of_two_targets_is_denied if {
	decision := decide({}, call({"targets": [testing.tool({}), testing.tool({})]}))
	denied_for(decision, "policy.targets")
	{"code": "policy.targets", "rule": "pdp.gate", "control": ""} in {object.remove(r, ["message"]) | some r in decision.reasons}
}

test_call_of_nothing_is_denied if denied_for(decide({}, call({"targets": []})), "policy.targets")

test_unknown_phase_is_denied if denied_for(decide({}, call({"phase": "replay"})), "policy.input")

test_stages_open_one_after_the_other if {
	second := object.union(approval, {"id": "b", "code": "acme.b", "stage": 2})
	rules := {"require": {confirm, second}}
	opened := object.union(confirm, {"pack": "acme"})

	asked := decide(rules, call({}))
	asked.effect == "pending"
	asked.requirements == {opened}
	codes(asked) == {"acme.a"}

	answered := decide(rules, call({"evidence": [testing.answer(opened, "met")]}))
	answered.effect == "pending"
	answered.requirements == {object.union(second, {"pack": "acme"})}
	codes(answered) == {"acme.b"}
}

required(element) := object.union(element, {"pack": "acme"})

test_the_same_people_are_asked_once_whatever_the_stages if {
	own := object.union(approval, {"id": "own", "stage": 1})
	two := object.union(approval, {"id": "two", "stage": 2, "seats": [{"group_id": "g", "n": 2}], "ttl_seconds": 30})
	three := object.union(approval, {"id": "three", "stage": 3, "seats": [{"group_id": "g", "n": 1}, {"group_id": "h", "n": 1}]})
	subject := object.union(confirm, {"stage": 2})
	rules := {"require": {own, two, three, subject}}

	asked := decide(rules, call({}))
	asked.effect == "pending"
	asked.requirements == {required(own), required(two)}
	codes(asked) == {"acme.a"}

	# each by itself: one that is met does not answer the other
	half := decide(rules, call({"evidence": [testing.answer(required(own), "met")]}))
	half.requirements == {required(two), required(subject)}

	refusal := testing.answer(required(two), "refused")
	denied_for(decide(rules, call({"evidence": [testing.answer(required(own), "met"), refusal]})), "requirement.refused")
}

test_the_subject_confirms_once_whatever_the_stages if {
	later := object.union(confirm, {"id": "later", "stage": 2, "min_assurance": "passkey"})
	asked := decide({"require": {confirm, later}}, call({}))
	asked.requirements == {required(confirm), required(later)}
}

test_a_consent_keeps_its_stage if {
	consent := {
		"kind": "consent", "id": "c", "code": "acme.c", "stage": 1, "ttl_seconds": 60,
		"scope": "s", "purpose": "p",
	}
	later := object.union(consent, {"id": "d", "stage": 2})
	asked := decide({"require": {consent, later}}, call({}))
	asked.requirements == {required(consent)}
}

test_a_judge_is_heard_before_people_of_an_earlier_stage if {
	judge := {
		"kind": "judge", "id": "j", "code": "acme.j", "control": "", "stage": 2, "ttl_seconds": 60,
		"prompt": "task-fit", "weight": "veto",
	}
	rules := {"require": {confirm, judge}}
	heard := object.union(judge, {"pack": "acme"})

	asked := decide(rules, call({}))
	asked.effect == "pending"
	asked.requirements == {heard}

	# whatever it says short of a denial, or when it says nothing at all, people are next
	silent_judge := object.union(testing.answer(heard, "failed"), {"verdict": ""})
	answered := decide(rules, call({"evidence": [silent_judge]}))
	answered.effect == "pending"
	answered.requirements == {object.union(confirm, {"pack": "acme"})}

	refusal := object.union(testing.answer(heard, "met"), {"verdict": "deny"})
	denied_for(decide(rules, call({"evidence": [refusal]})), "requirement.refused")
}

test_judges_have_stages_among_themselves if {
	judge := {
		"kind": "judge", "id": "j", "code": "acme.j", "control": "", "stage": 2, "ttl_seconds": 60,
		"prompt": "task-fit", "weight": "veto",
	}
	earlier := object.union(judge, {"id": "i", "code": "acme.i", "stage": 1})
	asked := decide({"require": {judge, earlier}}, call({}))
	asked.requirements == {object.union(earlier, {"pack": "acme"})}
}

test_nothing_is_opened_once_a_later_stage_is_refused if {
	second := object.union(approval, {"id": "b", "code": "acme.b", "stage": 2})
	refusal := testing.answer(object.union(second, {"pack": "acme"}), "refused")
	denied_for(decide({"require": {confirm, second}}, call({"evidence": [refusal]})), "requirement.refused")
}
