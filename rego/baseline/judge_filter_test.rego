package baseline_test

import data.lib.testing
import data.packs.baseline

org_with_filter := object.union(testing.org, {"judge": {"people": "filter", "medium": "none"}})

test_filter_before_a_destructive_call if {
	"judge.filter" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 2, "annotations": {"read_only": false, "destructive": true}})
		with data.org as org_with_filter
}

test_filter_before_a_critical_call if {
	"judge.filter" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 4, "annotations": {"read_only": true, "destructive": false}})
		with data.org as org_with_filter
}

test_no_filter_where_nobody_else_decides if {
	not "judge.filter" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 3, "annotations": {"read_only": true, "destructive": false}})
		with data.org as org_with_filter
}

test_no_filter_where_the_organisation_wants_none if {
	not "judge.filter" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 4, "annotations": {"read_only": false, "destructive": true}})
		with data.org as testing.org
}
