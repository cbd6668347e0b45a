package baseline_test

import data.lib.testing
import data.packs.baseline

test_sensitive_session_to_network_wants_confirmation if {
	"sink.tainted" in testing.codes(baseline.require) with input as testing.call({
		"subject": {"kind": "human"},
		"session": {"known": true, "observed": true, "labels": ["sensitive"]},
		"targets": [testing.tool({"sinks": [{"kind": "network", "argument": "/to"}]})],
	})
		with data.org as testing.org
}

test_untrusted_session_to_email_wants_confirmation if {
	"sink.tainted" in testing.codes(baseline.require) with input as testing.call({
		"subject": {"kind": "human"},
		"session": {"known": true, "observed": true, "labels": ["untrusted"]},
		"targets": [testing.tool({"sinks": [{"kind": "email", "argument": "/to"}]})],
	})
		with data.org as testing.org
}

test_sensitive_session_to_message_wants_confirmation if {
	"sink.tainted" in testing.codes(baseline.require) with input as testing.call({
		"subject": {"kind": "human"},
		"session": {"known": true, "observed": true, "labels": ["sensitive"]},
		"targets": [testing.tool({"sinks": [{"kind": "message", "argument": "/to"}]})],
	})
		with data.org as testing.org
}

test_unobserved_session_counts_as_tainted if {
	"sink.tainted" in testing.codes(baseline.require) with input as testing.call({
		"subject": {"kind": "human"},
		"session": {"known": true, "observed": false, "labels": []},
		"targets": [testing.tool({"sinks": [{"kind": "email", "argument": "/to"}]})],
	})
		with data.org as testing.org
}

test_unknown_session_counts_as_tainted if {
	"sink.tainted" in testing.codes(baseline.require) with input as testing.call({
		"subject": {"kind": "human"},
		"session": {"known": false, "observed": true, "labels": []},
		"targets": [testing.tool({"sinks": [{"kind": "email", "argument": "/to"}]})],
	})
		with data.org as testing.org
}

test_clean_session_may_send if {
	not "sink.tainted" in testing.codes(baseline.require) with input as testing.call({
		"subject": {"kind": "human"},
		"session": {"known": true, "observed": true, "labels": ["public"]},
		"targets": [testing.tool({"sinks": [{"kind": "email", "argument": "/to"}]})],
	})
		with data.org as testing.org
}

test_tainted_session_may_write_files if {
	not "sink.tainted" in testing.codes(baseline.require) with input as testing.call({
		"subject": {"kind": "human"},
		"session": {"known": true, "observed": true, "labels": ["sensitive"]},
		"targets": [testing.tool({"sinks": [{"kind": "filesystem", "argument": "/to"}]})],
	})
		with data.org as testing.org
}

test_nobody_there_to_confirm_a_sink if {
	not "sink.tainted" in testing.codes(baseline.require) with input as testing.call({
		"subject": {"kind": "service"},
		"session": {"known": true, "observed": true, "labels": ["sensitive"]},
		"targets": [testing.tool({"sinks": [{"kind": "email", "argument": "/to"}]})],
	})
		with data.org as testing.org
}
