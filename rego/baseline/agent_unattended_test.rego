package baseline_test

import data.lib.testing
import data.packs.baseline

test_service_that_changes_wants_approval if {
	"agent.unattended" in testing.codes(baseline.require) with input as testing.call({"subject": {"kind": "service"}, "targets": [testing.tool({"risk_level": 1, "annotations": {"read_only": false, "destructive": false}})]})
		with data.org as testing.org
}

test_unknown_kind_counts_as_unattended if {
	"agent.unattended" in testing.codes(baseline.require) with input as testing.call({"subject": {"kind": "unknown"}, "targets": [testing.tool({"risk_level": 1, "annotations": {"read_only": false, "destructive": false}})]})
		with data.org as testing.org
}

test_service_at_high_risk_wants_approval if {
	"agent.unattended" in testing.codes(baseline.require) with input as testing.call({"subject": {"kind": "service"}, "targets": [testing.tool({"risk_level": 3, "annotations": {"read_only": true, "destructive": false}})]})
		with data.org as testing.org
}

test_service_in_a_tainted_session_wants_approval if {
	"agent.unattended" in testing.codes(baseline.require) with input as testing.call({
		"subject": {"kind": "service"},
		"session": {"known": true, "observed": true, "labels": ["sensitive"]},
		"targets": [testing.tool({"sinks": [{"kind": "network", "argument": "/to"}]})],
	})
		with data.org as testing.org
}

test_service_in_a_clean_session_may_send if {
	not "agent.unattended" in testing.codes(baseline.require) with input as testing.call({
		"subject": {"kind": "service"},
		"session": {"known": true, "observed": true, "labels": []},
		"targets": [testing.tool({"sinks": [{"kind": "network", "argument": "/to"}]})],
	})
		with data.org as testing.org
}

test_service_that_reads_passes if {
	not "agent.unattended" in testing.codes(baseline.require) with input as testing.call({"subject": {"kind": "service"}, "targets": [testing.tool({"risk_level": 2, "annotations": {"read_only": true, "destructive": false}})]})
		with data.org as testing.org
}

test_person_is_not_unattended if {
	not "agent.unattended" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 1, "annotations": {"read_only": false, "destructive": false}})
		with data.org as testing.org
}
