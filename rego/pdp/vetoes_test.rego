package pdp_test

import data.lib.testing

test_call_checks_deny_with_their_own_code if {
	every check in {"arguments", "session"} {
		every status in {"failed", "missing", "unknown"} {
			own := sprintf("%s.broken", [check])
			decision := decide({}, call({"call_checks": {check: {"status": status, "code": own}}}))
			denied_for(decision, own)
			decision.visible == {"tool:git_status"}
		}
	}
}

test_absent_call_checks_deny if {
	every check in {"arguments", "session"} {
		question := json.remove(call({}), [sprintf("call_checks/%s", [check])])
		denied_for(decide({}, question), sprintf("check.%s", [check]))
	}
}

test_deny_wins_over_all_and_is_told if {
	rules := {"deny": {{"code": "acme.no", "message": "Not today.", "control": "C-1"}}}
	decide(rules, call({})).reasons == {{
		"code": "acme.no",
		"message": "Not today.",
		"rule": "packs.acme.deny",
		"control": "C-1",
	}}
	denied_for(decide(rules, call({})), "acme.no")
}

test_deny_wins_over_met_requirements if {
	rules := {"deny": {no}, "require": {approval}}
	met := testing.answer(composed, "met")
	denied_for(decide(rules, call({"evidence": [met]})), "acme.no")
}

test_deny_of_any_form_denies if {
	every element in ["text", {}, {"code": ""}, {"code": 7}, false, null, []] {
		denied_for(decide({"deny": {element}}, call({})), "policy.element")
	}
}

test_equal_obligations_of_two_packs_agree if {
	one := {"kind": "redact", "code": "a", "fields": ["/x"]}
	other := {"kind": "redact", "code": "b", "control": "C", "fields": ["/x"]}
	decision := decide({"oblige": {one, other}}, call({}))
	decision.effect == "allow"
	decision.obligations == {object.union(one, {"pack": "acme"}), object.union(other, {"pack": "acme"})}
}

test_obligations_in_conflict_deny if {
	one := {"kind": "redact", "code": "a", "fields": ["/x"]}
	other := {"kind": "redact", "code": "b", "fields": ["/y"]}
	denied_for(decide({"oblige": {one, other}}, call({})), "obligation.conflict")
}

test_obligations_of_different_kinds_do_not_conflict if {
	one := {"kind": "redact", "code": "a", "fields": ["/x"]}
	other := {"kind": "notify", "code": "b", "whom": "owner"}
	decision := decide({"oblige": {one, other}}, call({}))
	decision.effect == "allow"
	count(decision.obligations) == 2
}

test_nothing_is_imposed_unless_allowed if {
	rules := {"oblige": {{"kind": "redact", "code": "a"}}, "deny": {no}}
	decide(rules, call({})).obligations == set()
}

redacting(findings, replacement) := {
	"kind": "redact",
	"code": "acme.cut",
	"findings": findings,
	"replacement": replacement,
}

result := testing.result(loaded)

test_a_result_is_of_a_call_that_was_granted if {
	decide({"allow": set()}, result).effect == "allow"
	denied_for(decide({"deny": {{"code": "acme.no", "message": "m"}}}, result), "acme.no")
}

test_what_packs_have_cut_out_of_a_result_adds_up if {
	wanted := {redacting(["secret"], "[secret]"), redacting(["leak"], "[path]")}
	decision := decide({"oblige": wanted}, result)
	decision.effect == "allow"
	count(decision.obligations) == 2
	denied_for(decide({"oblige": wanted}, call({})), "obligation.conflict")
}

test_other_obligations_of_a_result_conflict_as_ever if {
	notify := {"kind": "notify", "code": "acme.tell"}
	wanted := {object.union(notify, {"to": "soc"}), object.union(notify, {"to": "owner"})}
	denied_for(decide({"oblige": wanted}, result), "obligation.conflict")
}

test_a_redaction_names_findings_and_what_takes_their_place if {
	good := redacting(["secret"], "")
	every broken in [
		object.remove(good, ["findings"]),
		object.remove(good, ["replacement"]),
		object.union(good, {"findings": []}),
		object.union(good, {"findings": "secret"}),
		object.union(good, {"findings": [7]}),
		object.union(good, {"replacement": null}),
		object.union(good, {"more": 1}),
	] {
		denied_for(decide({"oblige": {broken}}, result), "policy.element")
		decide({"oblige": {broken}}, call({})).effect == "allow"
	}
	decide({"oblige": {good}}, result).effect == "allow"
}
