package elements

own(elements) := {e | some e in elements; not elsewhere(e)} if is_set(elements) else := {}

elsewhere(e) if {
	is_string(e.target)
	some t in input.targets
	e.target != t.key
}

forbidding(elements, codes) := {object.union(e, {"target": t.key}) |
	some e in elements
	e.code in codes
	some t in input.targets
} if {
	is_set(elements)
} else := {}

asked_about(targets) := [[target] | some target in targets] if count(targets) > 0 else := [[]]
