package web_test

import data.lib.testing
import data.packs.web

asks(group) := testing.call({
	"subject": {"groups": [group]},
	"targets": [testing.tool({"name": "fetch", "key": "tool:fetch"})],
})

test_developers_read_pages if {
	"web.developers" in testing.codes(web.allow) with input as asks("developers")
		with data.org as testing.org
}

test_others_do_not if {
	count(web.allow) == 0 with input as asks("auditors")
		with data.org as testing.org
}
