package drill_test

import data.lib.testing
import data.packs.drill

asks(group) := testing.call({
	"subject": {"groups": [group]},
	"targets": [testing.tool({"name": "read_path", "key": "tool:read_path"})],
})

test_the_drill_calls_its_tools if {
	"drill.subject" in testing.codes(drill.allow) with input as asks("drill")
		with data.org as testing.org
}

test_others_do_not if {
	count(drill.allow) == 0 with input as asks("developers")
		with data.org as testing.org
}
