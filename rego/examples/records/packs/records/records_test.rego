package records_test

import data.lib.testing
import data.packs.records

org := object.union(testing.org, {"entities": [
	{"type": "user", "id": "alice", "role": "author", "status": ""},
	{"type": "user", "id": "bob", "role": "admin", "status": ""},
	{"type": "record", "id": "record-1", "role": "", "status": "active"},
	{"type": "record", "id": "record-2", "role": "", "status": "archived"},
]})

operation(action) := testing.tool({
	"kind": "generic",
	"name": sprintf("record/%s", [action]),
	"key": sprintf("generic:record/%s", [action]),
	"server": "records",
})

# Who does what with which record; `sent` are the properties of subject, action and resource.
asks(who, action, id, sent) := testing.call({
	"subject": {"id": who, "source": "vouched"},
	"server": {"id": "records"},
	"targets": [operation(action)],
	"call": {"method": action},
	"arguments": {"value": {
		"subject": {"type": "user", "properties": object.get(sent, "subject", {})},
		"action": {"properties": object.get(sent, "action", {})},
		"resource": {"type": "record", "id": id, "properties": object.get(sent, "resource", {})},
	}},
})

archived := {"resource": {"status": "archived"}}

test_known_people_may_ask_and_nobody_else if {
	every who in ["alice", "bob"] {
		records.allow == {{"target": "generic:record/read", "code": "records.known"}} with input as asks(who, "read", "record-1", {})
			with data.org as org
	}
	records.allow == set() with input as asks("mallory", "read", "record-1", {})
		with data.org as org
	records.allow == set() with input as asks("record-1", "read", "record-1", {})
		with data.org as org
}

test_operations_of_others_are_not_granted if {
	records.allow == set() with input as asks("alice", "publish", "record-1", {})
		with data.org as org
}

permits(question) if {
	count(records.deny) == 0 with input as question
		with data.org as org
}

test_what_is_permitted if {
	permits(asks("alice", "read", "record-1", {}))
	permits(asks("bob", "read", "record-2", {}))
	permits(asks("alice", "write", "record-1", {}))
	permits(asks("bob", "write", "record-2", {}))
	permits(asks("bob", "write", "record-2", object.union(archived, {"subject": {"role": "admin"}})))
	permits(asks("alice", "delete", "record-1", {"action": {"soft": true}}))
}

test_what_is_not if {
	every question in [
		asks("alice", "read", "record-9", {}),
		asks("bob", "write", "record-1", {}),
		asks("bob", "write", "record-2", {"subject": {"role": "reader"}}),
		asks("bob", "write", "record-2", object.union(archived, {"subject": {"role": false}})),
		asks("alice", "write", "record-1", {"resource": {"status": false}}),
		asks("alice", "write", "record-2", {}),
		asks("alice", "write", "record-1", archived),
		asks("alice", "delete", "record-1", {}),
		asks("alice", "delete", "record-1", {"action": {"soft": false}}),
		asks("alice", "delete", "record-1", {"action": {"soft": "true"}}),
		asks("bob", "delete", "record-1", {"action": {"soft": true}}),
	] {
		"records.not_permitted" in testing.codes(records.deny) with input as question
			with data.org as org
	}
}
