package packs.baseline

# METADATA
# title: The subject confirms what leaves a tainted session
# description: Private data, untrusted content and a way out, and whoever has all three can be made to leak.
require contains {
	"kind": "confirmation",
	"id": "sink.tainted",
	"code": "sink.tainted",
	"control": "MCP10",
	"waivable": true,
	"stage": 1,
	"ttl_seconds": 300,
	"min_assurance": "signed_in",
} if {
	data.lib.subject.attended
	data.lib.session.tainted
	some t in input.targets
	t.key in data.lib.targets.outward
}
