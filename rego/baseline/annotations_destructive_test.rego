package baseline_test

import data.lib.testing
import data.packs.baseline

test_destructive_tool_wants_approval if {
	"annotations.destructive" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 1, "annotations": {"read_only": false, "destructive": true}})
		with data.org as testing.org
}

test_changing_tool_wants_no_approval if {
	not "annotations.destructive" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 1, "annotations": {"read_only": false, "destructive": false}})
		with data.org as testing.org
}

test_reading_tool_is_never_destructive if {
	not "annotations.destructive" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 1, "annotations": {"read_only": true, "destructive": true}})
		with data.org as testing.org
}

test_critical_destructive_tool_has_the_stricter_rule if {
	not "annotations.destructive" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 4, "annotations": {"read_only": false, "destructive": true}})
		with data.org as testing.org
}
