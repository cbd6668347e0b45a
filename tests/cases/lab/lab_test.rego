package lab_test

import data.lib.testing
import data.packs.lab

asks(name) := testing.call({
	"policy": {"packs": ["acme", "baseline", "lab"]},
	"server": {"id": "lab"},
	"subject": {"groups": ["lab"]},
	"targets": [testing.tool({"name": name, "key": sprintf("tool:%s", [name]), "server": "lab"})],
})

test_members_are_granted if {
	"lab.member" in testing.codes(lab.allow) with input as asks("read")
}

test_others_are_not if {
	lab.allow == set() with input as object.union(asks("read"), {"subject": {"groups": ["guests"]}})
}

test_lead_is_hidden if {
	"lab.leaders_only" in testing.codes(lab.hide) with input as asks("lead")
}

test_lead_is_shown_to_leaders if {
	lab.hide == set() with input as object.union(asks("lead"), {"subject": {"groups": ["lab", "leaders"]}})
}

test_observation_denies if {
	"lab.observed" in testing.codes(lab.deny) with input as object.union(asks("wary"), {"asserted": {"observation": "x"}})
}

test_no_observation_passes if {
	lab.deny == set() with input as object.union(asks("wary"), {"asserted": {"observation": null}})
}

in_session(calls) := object.union(asks("budgeted"), {"session": {"known": true, "calls": calls}})

test_third_call_denies if {
	"lab.budget" in testing.codes(lab.deny) with input as in_session(2)
}

test_second_call_passes if {
	lab.deny == set() with input as in_session(1)
}

test_first_call_passes if {
	lab.deny == set() with input as object.union(asks("budgeted"), {"session": {"known": false, "calls": 0}})
}

test_each_tool_wants_its_own if {
	testing.codes(lab.require) == {"lab.fit"} with input as asks("judged")
	testing.codes(lab.require) == {"lab.verdict"} with input as asks("judged_strictly")
	testing.codes(lab.require) == {"lab.confirm", "lab.approve"} with input as asks("staged")
	testing.codes(lab.require) == {"lab.consent"} with input as asks("consented")
	lab.require == set() with input as asks("read")
}

test_obligations if {
	testing.codes(lab.oblige) == {"lab.truncate"} with input as asks("obliged")
	testing.codes(lab.oblige) == {"lab.truncate", "lab.truncate_more"} with input as asks("torn")
	lab.oblige == set() with input as asks("read")
}
