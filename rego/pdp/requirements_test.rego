package pdp_test

import data.lib.testing

approval := {
	"kind": "approval", "id": "a", "code": "acme.a", "control": "C", "stage": 1, "ttl_seconds": 60,
	"seats": [{"group_id": "g", "n": 1}], "deny_quorum": 1, "reason_required": false,
}

composed := object.union(approval, {"pack": "acme"})

substitute := {"kind": "confirmation", "id": "s", "code": "acme.s", "ttl_seconds": 60, "min_assurance": "signed_in"}

replaceable := object.union(approval, {"otherwise": substitute})

replaced := object.union(substitute, {"pack": "acme", "after": "a", "stage": 1})

with_evidence(rules, evidence) := decide({"require": rules}, call({"evidence": evidence}))

test_open_requirement_is_pending_as_composed if {
	decision := decide({"require": {approval}}, call({}))
	decision.effect == "pending"
	decision.requirements == {composed}
	decision.reasons == {{
		"code": "acme.a",
		"message": "Needs an answer: approval (a).",
		"rule": "packs.acme.require",
		"control": "C",
	}}
}

test_met_requirement_allows if with_evidence({approval}, [testing.answer(composed, "met")]).effect == "allow"

test_refused_requirement_denies_naming_it if {
	decision := with_evidence({approval}, [testing.answer(composed, "refused")])
	denied_for(decision, "requirement.refused")
	some r in decision.reasons
	contains(r.message, "Requirement a")
	r.rule == "packs.acme.require"
}

test_failed_requirement_denies if {
	denied_for(with_evidence({approval}, [testing.answer(composed, "failed")]), "requirement.failed")
}

test_two_requirements_must_both_be_met if {
	other := object.union(approval, {"id": "b", "code": "acme.b"})
	decision := with_evidence({approval, other}, [testing.answer(composed, "met")])
	decision.effect == "pending"
	decision.requirements == {object.union(other, {"pack": "acme"})}
}

test_failed_requirement_opens_its_substitute if {
	first := object.union(replaceable, {"pack": "acme"})
	decision := with_evidence({replaceable}, [testing.answer(first, "failed")])
	decision.effect == "pending"
	decision.requirements == {replaced}
}

test_substitute_settles_what_failed if {
	first := object.union(replaceable, {"pack": "acme"})
	evidence := [testing.answer(first, "failed"), testing.answer(replaced, "met")]
	with_evidence({replaceable}, evidence).effect == "allow"
}

test_substitute_that_fails_denies if {
	evidence := [testing.answer(object.union(replaceable, {"pack": "acme"}), "failed"), testing.answer(replaced, "failed")]
	denied_for(with_evidence({replaceable}, evidence), "requirement.failed")
}

test_refused_requirement_has_no_substitute if {
	first := object.union(replaceable, {"pack": "acme"})
	evidence := [testing.answer(first, "refused"), testing.answer(replaced, "met")]
	denied_for(with_evidence({replaceable}, evidence), "requirement.refused")
}
