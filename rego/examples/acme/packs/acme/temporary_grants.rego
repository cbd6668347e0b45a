package packs.acme

# METADATA
# title: Grants that end by themselves
# description: For contractors, audits and incidents. After `until_ns` the tools are neither listed nor callable.
allow contains {"target": t.key, "code": "acme.temporary"} if {
	some t in input.targets
	t.kind == "tool"
	t.name in tools_granted_for_now
}

tools_granted_for_now contains tool if {
	some grant in data.org.temporary_grants
	grant.group in input.subject.groups
	grant.server == input.server.id
	input.time.ns < grant.until_ns
	some tool in grant.tools
}
