package packs.baseline

# METADATA
# title: Somebody else approves destruction
# description: What cannot be undone is not left to an agent and one person. Critical tools have their own, stricter rule.
require contains {
	"kind": "approval",
	"id": "annotations.destructive",
	"code": "annotations.destructive",
	"control": "MCP06",
	"stage": 2,
	"ttl_seconds": 3600,
	"seats": [{"group_id": data.org.approvals.destructive, "n": 1}],
	"deny_quorum": 1,
	"reason_required": false,
} if {
	some t in input.targets
	t.key in data.lib.targets.destructive
	t.risk_level < 4
}
