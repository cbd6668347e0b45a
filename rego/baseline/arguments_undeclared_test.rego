package baseline_test

import data.lib.testing
import data.packs.baseline

test_undeclared_argument_denies if {
	"arguments.undeclared" in testing.codes(baseline.deny) with input as testing.call({"arguments": {"findings": [{"kind": "undeclared", "pointer": "/a", "detail": ""}]}})
		with data.org as testing.org
}

test_declared_arguments_pass if {
	not "arguments.undeclared" in testing.codes(baseline.deny) with input as testing.call({})
		with data.org as testing.org
}
