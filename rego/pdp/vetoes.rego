package pdp

# The checks that only a call has.
call_checks := {"arguments", "session"}

default call_checks_passed := false

call_checks_passed if passed_call_checks == call_checks

passed_call_checks := {k | some k in call_checks; input.call_checks[k].status == "ok"}

# METADATA
# title: What packs forbid
# description: Any element of a `deny` counts, whatever its form, unless a live waiver softens it.
vetoes contains {"pack": p, "rule": "deny", "element": element} if {
	some p, pack in packs
	some element in pack.deny
	not waived(p, element)
}

vetoes contains {"pack": one.pack, "rule": "oblige", "element": {
	"code": "obligation.conflict",
	"message": sprintf("Packs %s and %s want %s in different ways.", [one.pack, other.pack, one.kind]),
}} if {
	some one in obligations
	some other in obligations
	one.kind == other.kind
	parameters(one) != parameters(other)
}
