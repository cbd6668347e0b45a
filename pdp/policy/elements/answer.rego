package elements

answer := {"decision": decision} if {
	not input.facts
	decision := data.pdp.decision with input as input.composition
}

answer := {"decision": decision, "elements": plain, "asserted_elements": told} if {
	input.composition.phase != "list"
	plain := elements_of(input.facts)
	told := elements_with(object.get(input, "asserted", null))
	decision := decided(plain, told)
}

answer := {"decision": decision, "elements": plain, "asserted_elements": null} if {
	input.composition.phase == "list"
	plain := united([found | some targets in asked_about(input.targets); found := listed(input.facts, targets)])
	decision := decided(plain, null)
}

decided(plain, told) := decision if {
	question := object.union(input.composition, {"elements": plain, "asserted_elements": told})
	decision := data.pdp.decision with input as question
}

elements_with(facts) := elements_of(facts) if is_object(facts) else := null

elements_of(facts) := json.unmarshal(json.marshal(found)) if {
	input.composition.phase == "call"
	found := call with input as facts
} else := json.unmarshal(json.marshal(found)) if {
	input.composition.phase == "result"
	found := result with input as facts
}

listed(facts, targets) := json.unmarshal(json.marshal(found)) if {
	found := list with input as object.union(facts, {"targets": targets})
}

united(found) := {pack: joint | some pack, members in found[0]; joint := joined(found, pack, members)}

joined(found, pack, members) := {name: all | some name, value in members; all := whole(found, pack, name, value)}

whole(_, _, "meta", value) := value

whole(found, pack, name, _) := {} if {
	name != "meta"
	some each in found
	not is_array(each[pack][name])
} else := [e | some each in found; some e in each[pack][name]] if {
	name != "meta"
}
