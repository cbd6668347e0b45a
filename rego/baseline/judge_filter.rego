package packs.baseline

# METADATA
# title: A judge is heard before people are asked
# description: |
#   Its denial ends the matter, so that people never see what is plainly not the task. Its allow unlocks nothing: people decide as well, and when it cannot tell they decide alone.
require contains {
	"kind": "judge",
	"id": "judge.filter",
	"code": "judge.filter",
	"control": "MCP06",
	"waivable": true,
	"stage": 1,
	"ttl_seconds": 120,
	"prompt": "task-fit",
	"weight": "veto",
} if {
	data.org.judge.people == "filter"
	some t in input.targets
	t.key in data.lib.targets.approved
}
