package baseline_test

import data.lib.testing
import data.packs.baseline

test_hidden_unicode_denies if {
	"arguments.hidden_unicode" in testing.codes(baseline.deny) with input as testing.call({"arguments": {"findings": [{"kind": "hidden_unicode", "pointer": "/a", "detail": ""}]}})
		with data.org as testing.org
}

test_plain_text_passes if {
	not "arguments.hidden_unicode" in testing.codes(baseline.deny) with input as testing.call({})
		with data.org as testing.org
}
