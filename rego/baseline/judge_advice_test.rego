package baseline_test

import data.lib.testing
import data.packs.baseline

org_with_advice := object.union(testing.org, {"judge": {"people": "advice", "medium": "none"}})

test_advice_before_a_destructive_call if {
	"judge.advice" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 2, "annotations": {"read_only": false, "destructive": true}})
		with data.org as org_with_advice
}

test_advice_before_a_critical_call if {
	"judge.advice" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 4, "annotations": {"read_only": true, "destructive": false}})
		with data.org as org_with_advice
}

test_no_advice_where_nobody_else_decides if {
	not "judge.advice" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 3, "annotations": {"read_only": true, "destructive": false}})
		with data.org as org_with_advice
}

test_no_advice_where_the_organisation_wants_none if {
	not "judge.advice" in testing.codes(baseline.require) with input as testing.call_of({"risk_level": 4, "annotations": {"read_only": false, "destructive": true}})
		with data.org as testing.org
}
