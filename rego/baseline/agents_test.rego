package baseline_test

import data.lib.testing
import data.packs.baseline

registered_as(status, server) := testing.call({"agent": {"registration": {"status": status, "server": server}}})

turned_away(document) if {
	"agent.unregistered" in testing.codes(baseline.deny) with input as document with data.org as testing.org
}

test_without_a_list_every_agent_may_act if {
	not turned_away(registered_as("no_list", false))
}

test_a_registered_agent_acts_on_its_servers if {
	not turned_away(registered_as("registered", true))
	turned_away(registered_as("registered", false))
}

test_who_is_not_on_the_list_or_no_longer_does_not_act if {
	turned_away(registered_as("unregistered", false))
	turned_away(registered_as("expired", true))
}

test_nor_does_a_list_of_tools_show_it_anything if {
	document := object.union(testing.list(["git_status"]), {"agent": {"registration": {"status": "unregistered"}}})
	turned_away(document)
}
