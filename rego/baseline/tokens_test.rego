package baseline_test

import data.lib.testing
import data.packs.baseline

behind := [testing.tool({"downstream": {"audience": "https://mail.example", "scopes": ["mail.read"]}})]

test_a_service_behind_a_tool_gets_a_token_of_its_own if {
	some element in baseline.oblige with input as testing.call({"targets": behind}) with data.org as testing.org
	element == {"kind": "exchange_token", "code": "token.exchange", "control": "MCP01"}
	baseline.oblige == set() with input as testing.call({}) with data.org as testing.org
	baseline.oblige == set() with input as testing.result({"targets": behind}) with data.org as testing.org
}
