package baseline_test

import data.lib.testing
import data.packs.baseline

test_open_schema_of_a_changing_tool_denies if {
	"schema.open" in testing.codes(baseline.deny) with input as testing.call_of({"annotations": {"read_only": false}, "schema_open": true})
		with data.org as testing.org
}

test_open_schema_of_a_reading_tool_passes if {
	not "schema.open" in testing.codes(baseline.deny) with input as testing.call_of({"schema_open": true})
		with data.org as testing.org
}

test_closed_schema_of_a_changing_tool_passes if {
	not "schema.open" in testing.codes(baseline.deny) with input as testing.call_of({"annotations": {"read_only": false}})
		with data.org as testing.org
}
