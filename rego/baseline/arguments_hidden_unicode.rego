package packs.baseline

# METADATA
# title: No invisible text in arguments
# description: Characters that people cannot see carry instructions past them.
deny contains {
	"code": "arguments.hidden_unicode",
	"message": "An argument holds invisible or bidirectional control characters. Remove them.",
	"control": "MB-4.2",
} if {
	some finding in input.arguments.findings
	finding.kind == "hidden_unicode"
}
