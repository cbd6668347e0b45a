package baseline_test

import data.lib.testing
import data.packs.baseline

test_secret_denies if {
	"arguments.secret" in testing.codes(baseline.deny) with input as testing.call({"arguments": {"findings": [{"kind": "secret", "pointer": "/a", "detail": ""}]}})
		with data.org as testing.org
}

test_bearer_token_denies if {
	"arguments.secret" in testing.codes(baseline.deny) with input as testing.call({"arguments": {"findings": [{"kind": "bearer_token", "pointer": "/a", "detail": ""}]}})
		with data.org as testing.org
}

test_other_finding_is_no_secret if {
	not "arguments.secret" in testing.codes(baseline.deny) with input as testing.call({"arguments": {"findings": [{"kind": "undeclared", "pointer": "/a", "detail": ""}]}})
		with data.org as testing.org
}

test_clean_arguments_hold_no_secret if {
	not "arguments.secret" in testing.codes(baseline.deny) with input as testing.call({})
		with data.org as testing.org
}

test_secret_cannot_be_waived if {
	some element in baseline.deny with input as testing.call({"arguments": {"findings": [{"kind": "secret", "pointer": "/a", "detail": ""}]}})
		with data.org as testing.org
	element.code == "arguments.secret"
	not element.waivable
}
