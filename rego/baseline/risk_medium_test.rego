package baseline_test

import data.lib.testing
import data.packs.baseline

test_medium_change_wants_confirmation if {
	"risk.medium" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 2, "annotations": {"read_only": false, "destructive": false}})
		with data.org as testing.org
}

test_medium_reading_passes if {
	not "risk.medium" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 2, "annotations": {"read_only": true, "destructive": false}})
		with data.org as testing.org
}

test_low_change_passes if {
	not "risk.medium" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 1, "annotations": {"read_only": false, "destructive": false}})
		with data.org as testing.org
}

test_medium_destructive_tool_is_approved_instead if {
	not "risk.medium" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 2, "annotations": {"read_only": false, "destructive": true}})
		with data.org as testing.org
}

test_nobody_there_to_confirm_medium_risk if {
	not "risk.medium" in testing.codes(baseline.require) with input as testing.call({"subject": {"kind": "service"}, "targets": [testing.tool({"risk_level": 2, "annotations": {"read_only": false, "destructive": false}})]})
		with data.org as testing.org
}
