# METADATA
# title: What a session carries
package lib.session

# METADATA
# title: The session has seen sensitive or untrusted content
# description: A session that is not known, or not fully observed, counts as if it had, because its labels may be incomplete.
default tainted := true

tainted := false if {
	input.session.known == true
	input.session.observed == true
	count({l | some l in input.session.labels; l in {"sensitive", "untrusted"}}) == 0
}
