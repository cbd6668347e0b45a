package packs.baseline

# METADATA
# title: Somebody approves what an unattended agent does
# description: Where no person can confirm, the group that runs such agents approves what is more than harmless reading.
require contains {
	"kind": "approval",
	"id": "agent.unattended",
	"code": "agent.unattended",
	"control": "MCP02",
	"waivable": true,
	"stage": 1,
	"ttl_seconds": 3600,
	"seats": [{"group_id": data.org.approvals.unattended, "n": 1}],
	"deny_quorum": 1,
	"reason_required": false,
} if {
	not data.lib.subject.attended
	some t in input.targets
	t.key in data.lib.targets.consequential
}
