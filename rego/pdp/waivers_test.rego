package pdp_test

import data.lib.testing

softenable := {"code": "x.soft", "message": "no", "control": "MB-4.1", "waivable": true}

# The same rules, but in the baseline, where waivers can reach them.
base_decide(rules, question) := decision if {
	together := object.union(packs({}), {"baseline": rules})
	decision := composed_of(together, question)
}

waived_call(overrides) := call({"waivers": [object.union(testing.waiver("x.soft", "git"), overrides)]})

test_waiver_softens_and_is_told if {
	decision := base_decide({"deny": {softenable}}, waived_call({}))
	decision.effect == "allow"
	decision.waived == {{"pack": "baseline", "code": "x.soft", "waiver": "waiver-x.soft", "server": "git"}}
}

test_without_a_waiver_the_element_stands if {
	decision := base_decide({"deny": {softenable}}, call({}))
	denied_for(decision, "x.soft")
	decision.waived == set()
}

test_waiver_counts_only_for_its_code_server_and_time if {
	every overrides in [
		{"code": "x.other"}, {"server": "mail"}, {"expires_ns": testing.now_ns},
		{"expires_ns": 0}, {"expires_ns": "never"}, {"expires_ns": null},
	] {
		decision := base_decide({"deny": {softenable}}, waived_call(overrides))
		denied_for(decision, "x.soft")
		decision.waived == set()
	}
}

test_only_waivable_elements_can_be_waived if {
	every overrides in [{"waivable": false}, {"waivable": "true"}, {"waivable": 1}, {"waivable": null}] {
		rigid := object.union(softenable, overrides)
		denied_for(base_decide({"deny": {rigid}}, waived_call({})), "policy.element")
	}
	denied_for(base_decide({"deny": {object.remove(softenable, ["waivable"])}}, waived_call({})), "x.soft")
}

test_identity_and_isolation_cannot_be_waived if {
	every control in ["MB-1.1", "MB-1.3", "MB-2.2", "MB-10.1", "", "mb-4.1", "MB-4.1 MB-1.1", "MB-1.1 MB-4.1"] {
		rigid := object.union(softenable, {"control": control})
		denied_for(base_decide({"deny": {rigid}}, waived_call({})), "x.soft")
	}
}

test_top_ten_controls_can_be_waived if {
	base_decide({"deny": {object.union(softenable, {"control": "MCP06"})}}, waived_call({})).effect == "allow"
}

test_elements_of_an_organisation_cannot_be_waived if {
	decision := decide({"deny": {softenable}}, waived_call({}))
	denied_for(decision, "x.soft")
	decision.waived == set()
}

test_waiver_softens_a_requirement if {
	wanted := object.union(approval, softenable)
	base_decide({"require": {wanted}}, call({})).effect == "pending"
	decision := base_decide({"require": {wanted}}, waived_call({}))
	decision.effect == "allow"
	count(decision.waived) == 1
}

test_waiver_softens_a_hide_in_lists_and_calls if {
	hide := object.union(softenable, {"target": "tool:git_status"})
	denied_for(base_decide({"hide": {hide}}, call({})), "x.soft")
	base_decide({"hide": {hide}}, waived_call({})).effect == "allow"
	listed := base_decide({"hide": {hide}}, list({"waivers": [testing.waiver("x.soft", "git")]}))
	listed.visible == {"tool:git_status"}
	count(listed.waived) == 1
}

test_waiver_softens_a_denial_in_lists if {
	denial := object.union(softenable, {"target": "tool:git_status"})
	base_decide({"deny": {denial}}, list({})).visible == set()
	listed := base_decide({"deny": {denial}}, list({"waivers": [testing.waiver("x.soft", "git")]}))
	listed.visible == {"tool:git_status"}
	count(listed.waived) == 1
}

test_of_several_controls_each_must_be_waivable if {
	several := object.union(softenable, {"control": ["MB-3.2", "MCP03"]})
	count(base_decide({"deny": {several}}, waived_call({})).waived) == 1
	every named in [["MCP03", "MB-2.1"], ["MB-1.2"], [], ["MCP03", 1], 1] {
		base_decide({"deny": {object.union(softenable, {"control": named})}}, waived_call({})).waived == set()
	}
}

test_waiver_never_reaches_the_gate if {
	question := object.union(
		call({"waivers": [testing.waiver("subject.expired", "git")]}),
		{"checks": {"subject": {"status": "failed", "code": "subject.expired"}}},
	)
	denied_for(decide({}, question), "subject.expired")
}
