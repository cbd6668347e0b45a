package baseline_test

import data.lib.testing
import data.packs.baseline

org_with_judge := object.union(testing.org, {"judge": {"people": "none", "medium": "instead"}})

medium_change := {"risk_level": 2, "annotations": {"read_only": false, "destructive": false}}

vouched(target) := object.union(testing.call_of(target), {"session": object.union(testing.call_of(target).session, {"task_source": "caller"})})

test_a_judge_instead_of_the_subject if {
	codes := testing.codes(baseline.require) with input as vouched(medium_change)
		with data.org as org_with_judge
	"judge.medium" in codes
	not "risk.medium" in codes
}

test_the_subject_itself_on_the_agents_own_statement if {
	every source in {"agent", "none"} {
		question := object.union(testing.call_of(medium_change), {"session": object.union(testing.call_of(medium_change).session, {"task_source": source})})
		codes := testing.codes(baseline.require) with input as question
			with data.org as org_with_judge
		"risk.medium" in codes
		not "judge.medium" in codes
	}
}

refused(times) := object.union(vouched(medium_change), {"call": object.union(vouched(medium_change).call, {"judge_refusals": times})})

test_the_subject_as_well_after_three_refusals if {
	codes := testing.codes(baseline.require) with input as refused(3)
		with data.org as org_with_judge
	{"judge.medium", "risk.medium"} & codes == {"judge.medium", "risk.medium"}
}

test_the_judge_alone_until_then if {
	codes := testing.codes(baseline.require) with input as refused(2)
		with data.org as org_with_judge
	"judge.medium" in codes
	not "risk.medium" in codes
}

test_the_subject_itself_where_the_organisation_wants_no_judge if {
	codes := testing.codes(baseline.require) with input as vouched(medium_change)
		with data.org as testing.org
	"risk.medium" in codes
	not "judge.medium" in codes
}

test_no_judge_for_what_people_approve if {
	not "judge.medium" in testing.codes(baseline.require) with input as vouched({"risk_level": 2, "annotations": {"read_only": false, "destructive": true}})
		with data.org as org_with_judge
}
