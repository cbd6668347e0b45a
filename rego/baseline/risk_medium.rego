package packs.baseline

# METADATA
# title: The subject confirms a change of medium risk
# description: Reading at medium risk goes through. Destructive tools and unattended agents have stricter rules.
require contains {
	"kind": "confirmation",
	"id": "risk.medium",
	"code": "risk.medium",
	"control": "MCP06",
	"waivable": true,
	"stage": 1,
	"ttl_seconds": 300,
	"min_assurance": "signed_in",
} if {
	data.lib.subject.attended
	not data.lib.judge.instead
	some t in input.targets
	t.risk_level == 2
	t.key in data.lib.targets.changing
	not t.key in data.lib.targets.destructive
}
