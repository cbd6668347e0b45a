package baseline_test

import data.lib.testing
import data.packs.baseline

protecting := object.union(testing.org, {"personal_data": {"protected": true, "countries": ["DE"]}})

mailing := {"sinks": [{"kind": "email", "argument": "/to"}]}

carrying(pointer, target) := object.union(testing.call_of(target), {"arguments": {"findings": [{"kind": "personal_data", "pointer": pointer, "detail": "mail"}]}})

test_personal_data_is_cut_out_of_results_where_it_is_protected if {
	"result.personal_data" in testing.codes(baseline.oblige) with input as testing.result_with(["personal_data"]) with data.org as protecting
	not "result.personal_data" in testing.codes(baseline.oblige) with input as testing.result_with(["personal_data"]) with data.org as testing.org
	not "result.personal_data" in testing.codes(baseline.oblige) with input as testing.result_with(["directive"]) with data.org as protecting
}

test_what_carries_it_out_is_denied_in_the_strict_profile if {
	"arguments.personal_data" in testing.codes(baseline.deny) with input as carrying("/body", mailing) with data.org as protecting
}

test_the_subject_confirms_it_in_the_balanced_profile_and_nobody_else_can if {
	org := object.union(protecting, {"profile": "balanced"})
	question := carrying("/body", mailing)
	"arguments.personal_data_out" in testing.codes(baseline.require) with input as question with data.org as org
	not "arguments.personal_data" in testing.codes(baseline.deny) with input as question with data.org as org
	alone := object.union(question, {"subject": object.union(question.subject, {"kind": "service"})})
	"arguments.personal_data" in testing.codes(baseline.deny) with input as alone with data.org as org
	not "arguments.personal_data_out" in testing.codes(baseline.require) with input as alone with data.org as org
}

test_an_addressee_what_stays_within_and_what_nobody_protects_are_left if {
	every pointer in ["/to", "/to/0"] {
		not "arguments.personal_data" in testing.codes(baseline.deny) with input as carrying(pointer, mailing) with data.org as protecting
	}
	"arguments.personal_data" in testing.codes(baseline.deny) with input as carrying("/too", mailing) with data.org as protecting
	not "arguments.personal_data" in testing.codes(baseline.deny) with input as carrying("/body", {}) with data.org as protecting
	not "arguments.personal_data" in testing.codes(baseline.deny) with input as carrying("/body", mailing) with data.org as testing.org
}
