package packs.baseline

# METADATA
# title: Only declared arguments
# description: A member that the pinned schema does not know was reviewed by nobody, even if the schema lets it pass.
deny contains {
	"code": "arguments.undeclared",
	"message": "An argument is not declared in the tool's pinned schema. Leave it out.",
	"control": "MB-4.1",
	"waivable": true,
} if {
	some finding in input.arguments.findings
	finding.kind == "undeclared"
}
