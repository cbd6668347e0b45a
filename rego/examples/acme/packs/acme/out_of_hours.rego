package packs.acme

import data.lib.targets

# METADATA
# title: On call approves destruction outside business hours
# description: Nobody is there to notice what goes wrong. Hours are UTC, from data/org.json.
require contains {
	"kind": "approval",
	"id": "acme.out_of_hours",
	"code": "acme.out_of_hours",
	"control": "",
	"stage": 3,
	"ttl_seconds": 3600,
	"seats": [{"group_id": "on-call", "n": 1}],
	"deny_quorum": 1,
	"reason_required": true,
} if {
	some t in input.targets
	t.key in targets.destructive
	not business_hours
}

business_hours if {
	input.time.weekday in data.org.business_hours.weekdays
	input.time.minute_of_day >= data.org.business_hours.from_minute
	input.time.minute_of_day < data.org.business_hours.to_minute
}
