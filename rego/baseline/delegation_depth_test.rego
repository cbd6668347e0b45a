package baseline_test

import data.lib.testing
import data.packs.baseline

test_three_actors_are_too_many if {
	"delegation.depth" in testing.codes(baseline.deny) with input as testing.call({"actors": [{"id": "a", "issuer": null}, {"id": "b", "issuer": null}, {"id": "c", "issuer": null}]})
		with data.org as testing.org
}

test_two_actors_pass if {
	not "delegation.depth" in testing.codes(baseline.deny) with input as testing.call({"actors": [{"id": "a", "issuer": null}, {"id": "b", "issuer": null}]})
		with data.org as testing.org
}

test_no_actors_pass if {
	not "delegation.depth" in testing.codes(baseline.deny) with input as testing.call({})
		with data.org as testing.org
}
