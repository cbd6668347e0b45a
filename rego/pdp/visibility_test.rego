package pdp_test

import data.lib.testing

test_grant_counts_only_on_the_servers_of_its_pack if {
	denied_for(decide({"meta": {"servers": ["mail"]}}, call({})), "policy.not_granted")
}

a_prompt := testing.tool({"kind": "prompt", "key": "prompt:git_status"})

grants_of_kinds(kinds) := {
	"meta": {"servers": ["git"], "owner": "security", "kinds": kinds},
	"allow": {{"target": "tool:git_status", "code": "a.1"}, {"target": "prompt:git_status", "code": "a.2"}},
}

test_grant_of_a_pack_that_names_no_kind_counts_only_for_tools if {
	rules := {"allow": {{"target": "prompt:git_status", "code": "acme.granted"}}}
	denied_for(decide(rules, call({"targets": [a_prompt]})), "policy.not_granted")
	listed := decide(rules, list({"targets": [a_prompt, testing.tool({})]}))
	listed.visible == set()
}

test_grant_counts_only_for_the_kinds_of_its_pack if {
	both := list({"targets": [a_prompt, testing.tool({})]})
	every kinds, visible in {
		["prompt"]: {"prompt:git_status"},
		["tool"]: {"tool:git_status"},
		["tool", "prompt"]: {"tool:git_status", "prompt:git_status"},
		["resource"]: set(),
		[]: set(),
	} {
		decision := decide(grants_of_kinds(kinds), both)
		decision.visible == visible
	}
	decide(grants_of_kinds(["prompt"]), call({"targets": [a_prompt]})).effect == "allow"
	denied_for(decide(grants_of_kinds(["prompt"]), call({})), "policy.not_granted")
}

test_allow_is_told_with_the_grants_that_count if {
	others := {
		"meta": {"servers": ["git"], "owner": "others"},
		"allow": {{"target": "prompt:git_status", "code": "others.granted"}},
	}
	elements := object.union(packs(grants_of_kinds(["prompt"])), {"others": object.union(silent, others)})
	question := object.union(call({"targets": [a_prompt]}), {"policy": {"packs": ["acme", "baseline", "others"]}})
	decision := composed_of(elements, question)
	decision.effect == "allow"
	codes(decision) == {"a.2"}
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
	rules := {"oblige": {{"kind": "redact", "code": "a"}}, "require": {approval}}
	decision := decide(rules, list({}))
	decision.visible == {"tool:git_status"}
	decision.reasons == set()
	decision.requirements == set()
}

both_granted := {{"target": "tool:git_status", "code": "a.1"}, {"target": "tool:git_reset", "code": "a.2"}}

test_denial_of_a_target_takes_it_alone_from_the_list if {
	denial := {"target": "tool:git_reset", "code": "acme.no", "message": "No.", "control": "C"}
	decision := decide({"allow": both_granted, "deny": {denial}}, list({}))
	decision.visible == {"tool:git_status"}
	decision.reasons == set()
	decision.hidden == {{
		"key": "tool:git_reset",
		"reasons": {{"code": "acme.no", "message": "No.", "rule": "packs.acme.deny", "control": "C"}},
	}}
}

test_denial_without_a_target_of_the_list_takes_all if {
	every target in [{}, {"target": "tool:other"}] {
		decision := decide({"allow": both_granted, "deny": {object.union(no, target)}}, list({}))
		decision.visible == set()
		{h.key | some h in decision.hidden} == {"tool:git_status", "tool:git_reset"}
		{r.code | some h in decision.hidden; some r in h.reasons} == {"acme.no"}
	}
}

test_denial_of_another_target_still_denies_the_call if {
	denied_for(decide({"deny": {object.union(no, {"target": "tool:other"})}}, call({})), "acme.no")
}

test_denial_that_cannot_be_weighed_closes_the_list if {
	every change in [{"message": 7}, {"target": ""}, {"target": null}, {"code": ""}, {"more": 1}] {
		decision := decide({"allow": both_granted, "deny": {object.union(no, change)}}, list({}))
		decision.visible == set()
		{r.code | some h in decision.hidden; some r in h.reasons} == {"policy.element"}
	}
}

test_denials_that_were_not_told_close_the_list if {
	told := object.remove(packs({}).acme, ["deny"])
	decision := composed_of({"baseline": packs({}).baseline, "acme": told}, list({}))
	decision.visible == set()
}
