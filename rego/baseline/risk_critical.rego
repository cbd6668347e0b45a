package packs.baseline

# METADATA
# title: Two people for a critical tool
# description: Two members of one group agree, giving their reasons; a single no is a no.
require contains {
	"kind": "approval",
	"id": "risk.critical",
	"code": "risk.critical",
	"control": "MCP06",
	"stage": 2,
	"ttl_seconds": 3600,
	"seats": [{"group_id": data.org.approvals.critical, "n": 2}],
	"deny_quorum": 1,
	"reason_required": true,
} if {
	some t in input.targets
	t.risk_level >= 4
}
