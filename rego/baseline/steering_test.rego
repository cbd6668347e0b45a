package baseline_test

import data.lib.testing
import data.packs.baseline

steering(changes) := object.union(
	testing.call_of({"annotations": {"read_only": false, "destructive": false}}),
	object.union({"arguments": {"findings": [{"kind": "steering", "pointer": "/path", "detail": "agent"}]}}, changes),
)

test_a_low_risk_change_of_what_steers_is_confirmed if {
	baseline.deny == set() with input as steering({}) with data.org as testing.org
	codes := testing.codes(baseline.require) with input as steering({}) with data.org as testing.org
	codes == {"files.steering"}
}

test_reading_what_steers_is_no_question if {
	read := testing.call({"arguments": {"findings": [{"kind": "steering", "pointer": "/path", "detail": "agent"}]}})
	required := testing.codes(baseline.require) with input as read with data.org as testing.org
	required == set()
}

test_an_unattended_agent_is_approved_as_for_any_change if {
	codes := testing.codes(baseline.require) with input as steering({"subject": {"kind": "service"}}) with data.org as testing.org
	codes == {"agent.unattended"}
}

test_another_change_of_low_risk_is_no_question if {
	changed := testing.call_of({"annotations": {"read_only": false, "destructive": false}})
	required := testing.codes(baseline.require) with input as changed with data.org as testing.org
	required == set()
}
