package baseline_test

import data.lib.testing
import data.packs.baseline

passed_all := {name: {"result": "passed", "performed_ns": 1} | some name in ["static", "dependencies", "dynamic"]}

server_vetted(overrides) := testing.call({"server": {"vetting": object.union(object.union({"status": "vetted"}, passed_all), overrides)}})

not_vetted(document, demands) if {
	"server.not_vetted" in testing.codes(baseline.deny) with input as document with data.org as object.union(testing.org, {"vetting": demands})
}

every_demand := ["package", "static", "dependencies", "dynamic"]

test_without_a_demand_no_server_needs_a_vetting if {
	not not_vetted(testing.call({}), [])
}

test_each_demand_is_of_its_own if {
	not not_vetted(server_vetted({}), every_demand)
	every demand in every_demand {
		not_vetted(testing.call({}), [demand])
	}
	every name in ["static", "dependencies", "dynamic"] {
		every result in ["failed", "none", "unheard-of"] {
			document := server_vetted({name: {"result": result}})
			not_vetted(document, [name])
			not not_vetted(document, [other | some other in every_demand; other != name])
		}
	}
}

test_errors_that_the_reviewer_accepted_are_no_failure if {
	not not_vetted(server_vetted({"static": {"result": "accepted"}}), every_demand)
}

test_a_vetting_that_expired_is_none if {
	every demand in every_demand {
		not_vetted(server_vetted({"status": "expired"}), [demand])
	}
}

test_a_demand_that_nobody_knows_is_never_met if {
	not_vetted(server_vetted({}), ["sast"])
	not_vetted(server_vetted({}), ["package", "status"])
}
