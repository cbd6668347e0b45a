package pdp_test

import data.lib.testing

test_grant_counts_only_on_the_servers_of_its_pack if {
	denied_for(decide({"meta": {"servers": ["mail"]}}, call({})), "policy.not_granted")
}

test_baseline_cannot_grant_by_naming_no_server if {
	generous := object.union(packs({}), {"baseline": {"allow": {{"target": "tool:git_reset", "code": "x"}}}})
	decision := composed_of(generous, list({}))
	decision.visible == {"tool:git_status"}
}

test_target_of_another_server_is_not_granted if {
	decision := decide({}, call({"targets": [testing.tool({"server": "mail"})]}))
	denied_for(decision, "policy.not_granted")
}

test_failed_target_is_denied_with_its_own_code_alone if {
	every status in {"failed", "missing", "unknown"} {
		drifted := testing.tool({"status": status, "code": "tool.drifted"})
		rules := {"deny": {no}, "hide": {{"target": "tool:git_status", "code": "acme.h"}}}
		decision := decide(rules, call({"targets": [drifted]}))
		denied_for(decision, "tool.drifted")
		codes(decision) == {"tool.drifted"}
	}
}

test_failed_target_without_a_code_has_a_general_one if {
	denied_for(decide({}, call({"targets": [testing.tool({"status": "failed"})]})), "check.target")
}

test_target_listed_twice_is_hidden_if_one_of_them_failed if {
	twice := [testing.tool({}), testing.tool({"status": "failed", "code": "tool.drifted"})]
	decision := decide({}, list({"targets": twice}))
	decision.visible == set()
}

test_hide_removes_from_the_list_and_denies_the_call if {
	rules := {"hide": {{"target": "tool:git_status", "code": "acme.hidden", "control": "C"}}}
	listed := decide(rules, list({}))
	listed.visible == set()
	some h in listed.hidden
	h.key == "tool:git_status"
	h.reasons == {{"code": "acme.hidden", "message": "", "rule": "packs.acme.hide", "control": "C"}}
	denied_for(decide(rules, call({})), "acme.hidden")
}

test_hide_of_something_else_hides_nothing_here if {
	decide({"hide": {{"target": "tool:other", "code": "x"}}}, call({})).effect == "allow"
}

test_grant_of_what_was_not_asked_for_shows_nothing if {
	rules := {"allow": {{"target": "tool:other", "code": "x"}}}
	decision := decide(rules, list({}))
	decision.visible == set()
}

test_listing_ignores_what_only_a_call_has if {
	rules := {"deny": {no}, "require": {approval}}
	decision := decide(rules, list({}))
	decision.visible == {"tool:git_status"}
	decision.reasons == set()
	decision.requirements == set()
}
