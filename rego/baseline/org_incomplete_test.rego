package baseline_test

import data.lib.testing
import data.packs.baseline

test_missing_delegation_max_actors_denies if {
	"org.incomplete" in testing.codes(baseline.deny) with input as testing.call({})
		with data.org as json.remove(testing.org, ["delegation/max_actors"])
}

test_missing_approvals_destructive_denies if {
	"org.incomplete" in testing.codes(baseline.deny) with input as testing.call({})
		with data.org as json.remove(testing.org, ["approvals/destructive"])
}

test_missing_approvals_critical_denies if {
	"org.incomplete" in testing.codes(baseline.deny) with input as testing.call({})
		with data.org as json.remove(testing.org, ["approvals/critical"])
}

test_missing_approvals_unattended_denies if {
	"org.incomplete" in testing.codes(baseline.deny) with input as testing.call({})
		with data.org as json.remove(testing.org, ["approvals/unattended"])
}

test_missing_data_denies if {
	"org.incomplete" in testing.codes(baseline.deny) with input as testing.call({})
		with data.org as {}
}

test_text_for_a_number_denies if {
	"org.incomplete" in testing.codes(baseline.deny) with input as testing.call({})
		with data.org as object.union(testing.org, {"delegation": {"max_actors": "2"}})
}

test_complete_data_pass if {
	not "org.incomplete" in testing.codes(baseline.deny) with input as testing.call({})
		with data.org as testing.org
}
