# METADATA
# title: What a session carries
package lib.session

# METADATA
# title: The labels are complete
# description: Only of a session that is known and fully observed. Any other may have read anything.
default observed := false

observed if {
	input.session.known == true
	input.session.observed == true
}

# METADATA
# title: The session has seen sensitive or untrusted content
# description: A session that is not known, or not fully observed, counts as if it had, because its labels may be incomplete.
default tainted := true

tainted := false if {
	observed
	count({l | some l in input.session.labels; l in {"sensitive", "untrusted"}}) == 0
}

# METADATA
# title: Nothing untrusted was read
default unled := false

unled if {
	observed
	count({l | some l in input.session.labels; l == "untrusted"}) == 0
}
