package packs.baseline

# METADATA
# title: Closed schemas for tools that change something
# description: An open schema lets arguments through that nobody reviewed.
deny contains {
	"code": "schema.open",
	"message": "The tool may change something and its schema accepts undeclared arguments. Close the schema, or waive it.",
	"control": "MB-4.1",
	"waivable": true,
} if {
	some t in input.targets
	t.key in data.lib.targets.changing
	t.schema_open == true
}
