package baseline_test

import data.lib.testing
import data.packs.baseline

standing(status) := testing.call({"budgets": {"status": status}})

test_a_budget_is_not_passed if {
	"budget.exceeded" in testing.codes(baseline.deny) with input as standing("exceeded") with data.org as testing.org
	not "budget.exceeded" in testing.codes(baseline.deny) with input as standing("ok") with data.org as testing.org
}

test_what_a_call_takes_is_known if {
	"budget.unknown" in testing.codes(baseline.deny) with input as standing("unknown") with data.org as testing.org
	not "budget.unknown" in testing.codes(baseline.deny) with input as standing("ok") with data.org as testing.org
}
