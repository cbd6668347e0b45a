package payments_test

import data.lib.testing
import data.packs.payments

budget(name, figures) := object.union(
	{
		"status": "ok",
		"code": "",
		"name": name,
		"counts": "argument",
		"window": "day",
		"limit": 50000,
		"used": 0,
		"in_flight": 0,
		"amount": 1000,
		"ends_ns": testing.now_ns + 60000000000,
	},
	figures,
)

transfer(budgets) := testing.call({
	"server": {"id": "bank"},
	"targets": [testing.tool({"key": "tool:transfer", "name": "transfer", "server": "bank"})],
	"budgets": {"items": budgets},
})

of_day(figures) := transfer([budget("payments.day", figures)])

of_calls(figures) := transfer([budget("payments.day", {}), budget("payments.calls", figures)])

test_people_may_pay if {
	payments.allow == {{"target": "tool:transfer", "code": "payments.person"}} with input as of_day({})
}

test_nobody_else_may if {
	payments.allow == set() with input as object.union(of_day({}), {"subject": {"kind": "service"}})
	payments.allow == set() with input as testing.call({})
}

test_no_payment_without_its_budget if {
	"payments.no_budget" in testing.codes(payments.deny) with input as transfer([])
	"payments.no_budget" in testing.codes(payments.deny) with input as transfer([budget("other", {})])
	not "payments.no_budget" in testing.codes(payments.deny) with input as of_day({})
	not "payments.no_budget" in testing.codes(payments.deny) with input as testing.call({})
}

test_the_person_confirms_what_takes_the_day_beyond_300 if {
	payments.require == set() with input as of_day({"used": 20000, "in_flight": 9000})
	every figures in [{"used": 29001}, {"in_flight": 29001}, {"amount": 30001}, {"used": 15000, "in_flight": 14001}] {
		testing.codes(payments.require) == {"payments.most"} with input as of_day(figures)
	}
}

test_few_are_open_at_once if {
	payments.deny == set() with input as of_calls({"in_flight": 2, "used": 9})
	"payments.open" in testing.codes(payments.deny) with input as of_calls({"in_flight": 3})
}
