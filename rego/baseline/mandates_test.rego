package baseline_test

import data.lib.testing
import data.packs.baseline

stating := object.union(balanced, {"mandate": {"destructive": "stated"}})

destroying := {"risk_level": 3, "annotations": {"read_only": false, "destructive": true}}

# after an untrusted read, with values that nothing else licenses
covered(target, ways, external) := object.union(valued(target, ["untrusted"], ["none"]), {"mandate": {
	"status": "active",
	"source": "planner",
	"planned": true,
	"covers": [{
		"target": "tool:git_status",
		"step": 0,
		"external": external,
		"left": 1,
		"values": [{"pointer": sprintf("/%d", [i]), "by": way, "tool": ""} | some i, way in ways],
	}],
}})

bent(question, change) := object.union(question, {"mandate": object.union(question.mandate, change)})

test_a_judge_where_the_mandate_covers_the_call if {
	asked(covered(high_change, ["fixed", "slot", "made", "any"], true)) == {"judge.high"}
	asked(covered(mail, ["slot"], true)) == {"judge.origins"}
}

test_the_subject_without_a_mandate_that_covers_it if {
	question := covered(high_change, ["fixed"], false)
	every change in [{"status": "none"}, {"status": "planning"}, {"status": "ended"}, {"covers": []}] {
		asked(bent(question, change)) == {"risk.high"}
	}
	another := [object.union(question.mandate.covers[0], {"target": "tool:git_log"})]
	asked(bent(question, {"covers": another})) == {"risk.high"}
}

test_a_mandate_licenses_nothing_in_the_strict_profile if {
	testing.codes(baseline.require) with input as covered(high_change, ["fixed"], false)
		with data.org as testing.org == {"risk.high"}
}

test_a_mandate_touches_nothing_critical if {
	every org in [balanced, stating] {
		codes := testing.codes(baseline.require) with input as covered(object.union(destroying, {"risk_level": 4}), ["fixed"], false)
			with data.org as org
		codes == {"risk.critical"}
	}
}

test_a_mandate_touches_no_denial if {
	question := object.union(covered(high_change, ["fixed"], false), {"arguments": {"findings": [{"kind": "secret", "pointer": "/0", "detail": ""}]}})
	"arguments.secret" in testing.codes(baseline.deny) with input as question with data.org as stating
	scoped := covered(object.union(high_change, {"permissions": ["pay"]}), ["fixed"], false)
	"scope.missing" in testing.codes(baseline.deny) with input as scoped with data.org as stating
}

test_a_mandate_licenses_nothing_for_an_unattended_agent if {
	question := object.union(covered(high_change, ["fixed"], false), {"subject": {"kind": "service"}})
	asked(question) == {"agent.unattended"}
}

test_a_mandate_licenses_nothing_on_the_agents_own_task_or_after_a_refusal if {
	question := covered(high_change, ["fixed"], false)
	asked(object.union(question, {"session": object.union(question.session, {"task_source": "agent"})})) == {"risk.high"}
	every counter in ["judge_refusals", "people_refusals"] {
		asked(object.union(question, {"call": object.union(question.call, {counter: 3})})) == {"risk.high"}
	}
}

test_after_an_untrusted_read_origins_license_only_what_the_mandate_plans if {
	question := bent(covered(medium_change, ["fixed"], false), {"covers": []})
	asked(question) == {"judge.origins"}
	asked(bent(question, {"planned": false})) == {"risk.medium"}
	task := object.union(question, {"arguments": {"origins": {"traced": true, "values": [{"pointer": "/0", "origin": "task"}]}}})
	asked(bent(task, {"planned": false})) == {"risk.medium"}
	asked(bent(task, {"planned": false, "status": "ended"})) == {"judge.origins"}
	unled := object.union(task, {"session": object.union(task.session, {"labels": []})})
	asked(bent(unled, {"planned": false})) == {"judge.origins"}
}

test_others_approve_destruction_that_a_mandate_covers if {
	asked(covered(destroying, ["fixed"], false)) == {"annotations.destructive"}
}

test_a_judge_at_stated_destruction_where_the_organisation_says_so if {
	found := baseline.require with input as covered(destroying, ["fixed", "chosen", "slot"], false) with data.org as stating
	{[r.code, r.otherwise.code, r.otherwise.kind] | some r in found} == {["judge.destructive", "judge.destructive.approve", "approval"]}
	org := object.union(stating, {"judge": {"people": "filter", "medium": "instead"}})
	one := testing.codes(baseline.require) with input as covered(destroying, ["fixed"], false) with data.org as org
	one == {"judge.destructive"}
}

test_others_approve_destruction_that_the_task_does_not_state if {
	every question in [
		covered(destroying, ["fixed"], true),
		covered(destroying, ["fixed", "any"], false),
		covered(destroying, ["fixed", "made"], false),
		covered(destroying, [], false),
		bent(covered(destroying, ["fixed"], false), {"covers": []}),
		bent(covered(destroying, ["fixed"], false), {"status": "ended"}),
	] {
		codes := testing.codes(baseline.require) with input as question with data.org as stating
		codes == {"annotations.destructive"}
	}
}
