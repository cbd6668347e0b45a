package baseline_test

import data.lib.testing
import data.packs.baseline

test_high_risk_wants_confirmation if {
	"risk.high" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 3, "annotations": {"read_only": true, "destructive": false}})
		with data.org as testing.org
}

test_medium_risk_wants_no_passkey if {
	not "risk.high" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 2, "annotations": {"read_only": false, "destructive": false}})
		with data.org as testing.org
}

test_high_destructive_tool_is_approved_instead if {
	not "risk.high" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 3, "annotations": {"read_only": false, "destructive": true}})
		with data.org as testing.org
}

test_nobody_there_to_confirm_high_risk if {
	not "risk.high" in testing.codes(baseline.require) with input as testing.call({"subject": {"kind": "service"}, "targets": [testing.tool({"risk_level": 3, "annotations": {"read_only": true, "destructive": false}})]})
		with data.org as testing.org
}

test_high_risk_wants_a_passkey_at_stage_one if {
	wanted := baseline.require with input as testing.call_of({"risk_level": 3, "annotations": {"read_only": true, "destructive": false}})
		with data.org as testing.org
	{[r.min_assurance, r.stage, r.ttl_seconds] | some r in wanted; r.code == "risk.high"} == {["passkey", 1, 300]}
}
