package baseline_test

import data.lib.testing
import data.packs.baseline

test_baseline_grants_nothing if {
	baseline.meta.servers == []
	not baseline.allow
}

# What is looser for a person than for others must be so because somebody is positively there.
test_every_kind_of_subject_meets_a_requirement if {
	every kind in {"human", "service", "unknown", "robot"} {
		count(baseline.require) > 0 with input as testing.call({
			"subject": {"kind": kind},
			"targets": [testing.tool({"risk_level": 2, "annotations": {"read_only": false}})],
		})
			with data.org as testing.org
	}
}

test_harmless_reading_is_left_alone if {
	baseline.deny == set() with input as testing.call({}) with data.org as testing.org
	baseline.require == set() with input as testing.call({}) with data.org as testing.org
}

test_every_element_names_its_control if {
	worst := {"risk_level": 4, "annotations": {"read_only": false, "destructive": true}, "schema_open": true}
	elements := baseline.deny | baseline.require with input as testing.call_of(worst) with data.org as {}
	count(elements) > 0
	every element in elements {
		regex.match(`^(MB-[1-5]\.[0-9]|MCP[01][0-9])$`, element.control)
	}
}
