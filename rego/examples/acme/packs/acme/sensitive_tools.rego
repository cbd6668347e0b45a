package packs.acme

# METADATA
# title: Some tools are only for people who signed in themselves
# description: What a gateway merely vouches for, and what runs with no person, neither sees nor calls them.
hide contains {"target": t.key, "code": "acme.verified_person_only"} if {
	some t in input.targets
	t.name in {"git_reset", "git_checkout"}
	not verified_person
}

verified_person if {
	input.subject.source == "verified"
	input.subject.kind == "human"
}
