package pdp_test

test_each_check_closes_the_gate_with_its_own_code if {
	every check in {"caller", "subject", "agent", "server", "switch"} {
		every status in {"failed", "missing", "unknown", ""} {
			own := sprintf("%s.broken", [check])
			decision := decide({}, call({"checks": {check: {"status": status, "code": own}}}))
			denied_for(decision, own)
			codes(decision) == {own}
			decision.visible == set()
		}
	}
}

test_each_check_closes_the_gate_of_a_list if {
	every check in {"caller", "subject", "agent", "server", "switch"} {
		decision := decide({}, list({"checks": {check: {"status": "failed", "code": "broken"}}}))
		decision.visible == set()
		codes(decision) == {"broken"}
		every h in decision.hidden {
			{r.code | some r in h.reasons} == {"broken"}
		}
		count(decision.hidden) == 2
	}
}

test_check_without_a_code_is_named_after_itself if {
	denied_for(decide({}, call({"checks": {"switch": {"status": "failed", "code": ""}}})), "check.switch")
}

test_absent_checks_close_the_gate if {
	every check in {"caller", "subject", "agent", "server", "switch"} {
		question := json.remove(call({}), [sprintf("checks/%s", [check])])
		denied_for(decide({}, question), sprintf("check.%s", [check]))
	}
	decide({}, json.remove(call({}), ["checks"])).effect == "deny"
}

test_pack_that_is_not_loaded_closes_the_gate if {
	denied_for(decide({}, call({"policy": {"packs": ["acme", "baseline", "other"]}})), "policy.packs")
}

test_pack_that_the_service_does_not_know_closes_the_gate if {
	denied_for(decide({}, call({"policy": {"packs": ["baseline"]}})), "policy.packs")
}

test_policy_without_the_baseline_closes_the_gate if {
	elements := json.remove(packs({}), ["baseline"])
	denied_for(composed_of(elements, call({"policy": {"packs": ["acme"]}})), "policy.packs")
	denied_for(composed_of({}, call({"policy": {"packs": []}})), "policy.packs")
}

test_pack_without_meta_closes_the_gate if {
	decision := composed_of(json.remove(packs({}), ["acme/meta"]), call({}))
	denied_for(decision, "policy.packs")
}

test_meta_without_owner_or_servers_closes_the_gate if {
	every meta in {
		{"owner": "x"},
		{"servers": ["git"]},
		{"servers": "git", "owner": "x"},
		{"servers": ["git"], "owner": "x", "kinds": "tool"},
		{"servers": ["git"], "owner": "x", "kinds": null},
		"git",
	} {
		stripped := object.union(json.remove(packs({}), ["acme/meta"]), {"acme": {"meta": meta}})
		decision := composed_of(stripped, call({}))
		denied_for(decision, "policy.packs")
	}
}

test_other_form_of_question_closes_the_gate if {
	other := {"elements": packs({}), "asserted_elements": null, "schema": "pdp.composition/2"}
	decision := data.pdp.decision with input as object.union(call({}), other)
	denied_for(decision, "policy.input")
}

test_question_without_lists_closes_the_gate if {
	every name in {"evidence", "waivers"} {
		without := json.remove(call({}), [name])
		denied_for(composed_of(packs({}), without), "policy.input")
		denied_for(composed_of(packs({}), object.union(without, {name: {}})), "policy.input")
	}
}

# What is no set is an empty object in the elements.
test_rules_that_are_no_sets_close_the_gate if {
	every name in contract_rules {
		every value in [{"x": 1}, {}] {
			denied_for(decide({name: value}, call({})), "policy.element")
		}
	}
}

test_kinds_that_are_not_there_close_the_gate if {
	every name in contract_rules {
		denied_for(composed_of(json.remove(packs({}), [sprintf("acme/%s", [name])]), call({})), "policy.element")
	}
}

contract_rules := {"allow", "hide", "deny", "require", "oblige", "label"}
