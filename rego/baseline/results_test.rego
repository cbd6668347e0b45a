package baseline_test

import data.lib.testing
import data.packs.baseline

test_credentials_are_cut_out_of_results if {
	every kind in {"secret", "bearer_token", "own_token"} {
		given := testing.result_with([kind])
		testing.codes(baseline.oblige) == {"result.secret"} with input as given
		some cut in baseline.oblige with input as given
		kind in cut.findings
	}
	baseline.oblige == set() with input as testing.result({})
	baseline.oblige == set() with input as testing.result_with(["personal_data"]) with data.org as testing.org
}

test_traces_and_what_errors_leak_are_cut_out if {
	every kind in {"leak", "trace"} {
		testing.codes(baseline.oblige) == {"result.leak"} with input as testing.result_with([kind])
	}
}

test_what_nobody_bounded_is_cut_off if {
	testing.codes(baseline.oblige) == {"result.unbounded"} with input as testing.result_with(["unbounded"])
}

test_a_tool_that_did_what_it_may_not_do_is_quarantined if {
	given := testing.result_with(["effect"])
	baseline.oblige == {{"kind": "quarantine", "code": "result.quarantine", "control": ["MB-3.2", "MCP03"]}} with input as given
	"result.effect" in testing.codes(baseline.deny) with input as given with data.org as testing.org
	not "result.effect" in testing.codes(baseline.deny) with input as testing.result({}) with data.org as testing.org
}

test_a_session_knows_what_contradicts_a_manifest if {
	seen := {"kind": "file.write", "object": "/srv/a", "detail": {}, "permitted": false}
	labelled("result.contradicted", "contradicted") with input as testing.result({"asserted": {"observed_effects": [seen]}})
	within := [object.union(seen, {"permitted": true})]
	baseline.label == set() with input as testing.result({"asserted": {"observed_effects": within}})
}

test_a_result_that_breaks_its_schema_is_withheld if {
	"result.schema" in testing.codes(baseline.deny) with input as testing.result_with(["schema"]) with data.org as testing.org
	not "result.schema" in testing.codes(baseline.deny) with input as testing.result_with(["secret"]) with data.org as testing.org
}

test_what_speaks_to_the_model_is_untrusted if {
	labelled("result.instruction", "untrusted") with input as testing.result_with(["instruction"])
	baseline.label == set() with input as testing.result_with(["directive"])
}

test_what_is_hidden_or_runs_is_untrusted if {
	labelled("result.hidden", "untrusted") with input as testing.result_with(["hidden_unicode"])
	labelled("result.hidden", "untrusted") with input as testing.result_with(["active_content"])
	labelled("result.hidden", "untrusted") with input as testing.result_with(["unread"])
	baseline.label == set() with input as testing.result({})
}

test_what_comes_from_outside_is_untrusted if {
	outside := [testing.tool({"annotations": {"open_world": true}})]
	labelled("result.external", "untrusted") with input as testing.result({"targets": outside})
	baseline.label == set() with input as testing.call({"targets": outside})
	baseline.label == set() with input as testing.result({})
}

test_credentials_personal_data_and_errors_are_sensitive if {
	every kind in {"bearer_token", "leak", "own_token", "personal_data", "secret", "trace", "unread"} {
		given := testing.result_with([kind])
		labelled("result.sensitive", "sensitive") with input as given
	}
	baseline.label == set() with input as testing.result_with(["schema"])
}

labelled(code, label) if {
	some element in baseline.label
	element.code == code
	element.label == label
}
