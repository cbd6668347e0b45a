package packs.baseline

# METADATA
# title: A judge advises the people who decide
# description: |
#   They see its opinion below the facts, marked as that of a model. It settles nothing.
require contains {
	"kind": "judge",
	"id": "judge.advice",
	"code": "judge.advice",
	"control": "MCP06",
	"waivable": true,
	"stage": 1,
	"ttl_seconds": 120,
	"prompt": "task-fit",
	"weight": "advice",
} if {
	data.org.judge.people == "advice"
	some t in input.targets
	t.key in data.lib.targets.approved
}
