package pdp_test

# The same call, evaluated without what its caller asserted (`rules`) and with it (`told`).
asserting(rules, told) := decision if {
	elements := {"elements": lists(packs(rules)), "asserted_elements": lists(packs(told))}
	decision := data.pdp.decision with input as asked(elements)
}

asked(elements) := object.union(call({"schema": "pdp.composition/1"}), elements)

no := {"code": "acme.no", "message": "No."}

granted := {"allow": {{"target": "tool:git_status", "code": "acme.granted"}}}

confirm := {
	"kind": "confirmation", "id": "a", "code": "acme.a", "stage": 1, "ttl_seconds": 60,
	"min_assurance": "signed_in",
}

test_what_both_grant_is_granted if asserting({}, {}).effect == "allow"

test_what_one_grants_is_not_granted if {
	denied_for(asserting({"allow": set()}, granted), "policy.not_granted")
	denied_for(asserting(granted, {"allow": set()}), "policy.not_granted")
}

test_what_either_forbids_is_denied if {
	denied_for(asserting({"deny": {no}}, {}), "acme.no")
	denied_for(asserting({}, {"deny": {no}}), "acme.no")
	denied_for(asserting({"hide": {{"target": "tool:git_status", "code": "acme.no"}}}, {}), "acme.no")
	denied_for(asserting({}, {"hide": {{"target": "tool:git_status", "code": "acme.no"}}}), "acme.no")
}

test_what_either_requires_is_required if {
	asserting({"require": {confirm}}, {}).effect == "pending"
	asserting({}, {"require": {confirm}}).effect == "pending"
	other := object.union(confirm, {"id": "b", "code": "acme.b"})
	both := asserting({"require": {confirm}}, {"require": {other}})
	{r.id | some r in both.requirements} == {"a", "b"}
}

test_what_either_obliges_is_imposed if {
	redact := {"kind": "redact", "code": "acme.redact"}
	notify := {"kind": "notify", "code": "acme.notify"}
	both := asserting({"oblige": {redact}}, {"oblige": {notify}})
	{o.kind | some o in both.obligations} == {"redact", "notify"}
}

test_what_is_no_set_in_either_closes_the_gate if {
	every name in contract_rules {
		denied_for(asserting({name: {}}, {}), "policy.element")
		denied_for(asserting({}, {name: {}}), "policy.element")
	}
}

test_a_pack_that_only_one_knows_closes_the_gate if {
	every missing in ["elements", "asserted_elements"] {
		whole := {"elements": lists(packs({})), "asserted_elements": lists(packs({}))}
		without := json.remove(whole, [sprintf("%s/acme", [missing])])
		decision := data.pdp.decision with input as asked(without)
		denied_for(decision, "policy.packs")
	}
}

test_without_elements_the_gate_is_closed if {
	every told in [{}, {"asserted_elements": null}, {"elements": {}, "asserted_elements": null}, {"elements": {}}] {
		decision := data.pdp.decision with input as asked(told)
		denied_for(decision, "policy.packs")
	}
}
