package packs.baseline

# METADATA
# title: A judge looks at a change of medium risk instead of the subject
# description: |
#   Where the organisation says so, and somebody else than the agent said what the task is. When the judge cannot tell,
#   the subject is asked after all; when it refused three like calls in a day, the subject is asked as well.
require contains {
	"kind": "judge",
	"id": "judge.medium",
	"code": "judge.medium",
	"control": "MCP06",
	"waivable": true,
	"stage": 1,
	"ttl_seconds": 120,
	"prompt": "task-fit",
	"accepts": ["allow"],
	"min_confidence": 0.8,
	"otherwise": {
		"kind": "confirmation",
		"id": "judge.medium.confirm",
		"code": "judge.medium.confirm",
		"control": "MCP06",
		"ttl_seconds": 300,
		"min_assurance": "signed_in",
	},
} if {
	data.lib.subject.attended
	data.lib.judge.looks
	some t in input.targets
	t.risk_level == 2
	t.key in data.lib.targets.changing
	not t.key in data.lib.targets.destructive
}
