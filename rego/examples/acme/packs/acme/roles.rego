package packs.acme

# METADATA
# title: Roles
# description: A member of any group of a role may use the role's tools on the server that was asked.
allow contains {"target": t.key, "code": "acme.role"} if {
	some t in input.targets
	t.kind == "tool"
	t.name in tools_of_roles
}

# Collected once per request, so that a list of many tools costs no more than its length.
tools_of_roles contains tool if {
	some role in data.org.roles
	some group in role.groups
	group in input.subject.groups
	some grant in role.grants
	grant.server == input.server.id
	some tool in grant.tools
}
