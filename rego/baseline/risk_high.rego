package packs.baseline

# METADATA
# title: The subject confirms a tool of high risk
# description: With a passkey, so that no agent can answer in its place. Destructive tools and unattended agents have stricter rules.
require contains {
	"kind": "confirmation",
	"id": "risk.high",
	"code": "risk.high",
	"control": "MCP06",
	"stage": 1,
	"ttl_seconds": 300,
	"min_assurance": "passkey",
} if {
	data.lib.subject.attended
	some t in input.targets
	t.risk_level == 3
	not t.key in data.lib.targets.destructive
}
