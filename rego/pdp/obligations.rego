package pdp

# METADATA
# title: What the caller must do when it carries out an allow
# description: The union over all packs; elements of one kind that differ in more than their labels are a veto.
obligations contains object.union(element, {"pack": p}) if {
	some p, pack in packs
	some element in pack.oblige
	is_object(element)
}

# What is to be done, without who says so and why.
parameters(obligation) := object.remove(obligation, {"code", "control", "message", "pack"})
