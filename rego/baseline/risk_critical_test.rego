package baseline_test

import data.lib.testing
import data.packs.baseline

test_critical_tool_wants_approval if {
	"risk.critical" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 4, "annotations": {"read_only": true, "destructive": false}})
		with data.org as testing.org
}

test_high_tool_wants_no_critical_approval if {
	not "risk.critical" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 3, "annotations": {"read_only": true, "destructive": false}})
		with data.org as testing.org
}

test_critical_tool_wants_two_and_one_no_is_enough if {
	some element in baseline.require with input as testing.call_of({"risk_level": 4})
		with data.org as testing.org
	element.seats == [{"group_id": "security", "n": 2}]
	element.deny_quorum == 1
	element.reason_required
}
