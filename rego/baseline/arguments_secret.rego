package packs.baseline

# METADATA
# title: No secrets in arguments
# description: Whatever an agent passes on ends up in logs, models and servers; a credential has no business there.
deny contains {
	"code": "arguments.secret",
	"message": "An argument holds a secret or a bearer token. Pass a reference that the server resolves itself.",
	"control": "MB-5.2",
} if {
	some finding in input.arguments.findings
	finding.kind in {"secret", "bearer_token"}
}
