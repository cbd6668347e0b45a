# METADATA
# title: The lab
# description: |
#   A pack for the golden cases. It grants what its servers have to the group `lab`, and wants of single tools
#   whatever a requirement or an obligation can be.
package packs.lab

# METADATA
# title: Contract data of this pack
meta := {"servers": ["lab", "waived", "lapsed"], "owner": "tests@acme.example"}

# METADATA
# title: The group may use everything here
allow contains {"target": t.key, "code": "lab.member"} if {
	some t in input.targets
	"lab" in input.subject.groups
}

# METADATA
# title: One tool is for leaders only
hide contains {"target": t.key, "code": "lab.leaders_only"} if {
	some t in input.targets
	t.name == "lead"
	not "leaders" in input.subject.groups
}

# METADATA
# title: Not after something suspicious was seen
deny contains {"code": "lab.observed", "message": "The caller passed on an observation.", "control": ""} if {
	some t in input.targets
	t.name == "wary"
	is_string(input.asserted.observation)
}

# METADATA
# title: At most two calls of one session
deny contains {"code": "lab.budget", "message": "The session has had its calls.", "control": ""} if {
	some t in input.targets
	t.name == "budgeted"
	not within_budget
}

within_budget if {
	input.session.known == true
	input.session.calls < 2
}

within_budget if {
	input.session.known == false
	input.session.calls == 0
}

# METADATA
# title: A judge, and if it cannot say, an approval
require contains {
	"kind": "judge",
	"id": "lab.fit",
	"code": "lab.fit",
	"control": "",
	"stage": 2,
	"ttl_seconds": 60,
	"prompt": "task-fit",
	"accepts": ["allow"],
	"min_confidence": 0.8,
	"otherwise": {
		"kind": "approval",
		"id": "lab.instead",
		"code": "lab.instead",
		"control": "",
		"ttl_seconds": 600,
		"seats": [{"group_id": "leaders", "n": 1}],
		"deny_quorum": 1,
		"reason_required": false,
	},
} if {
	some t in input.targets
	t.name == "judged"
}

# METADATA
# title: A judge, and nothing else
require contains {
	"kind": "judge",
	"id": "lab.verdict",
	"code": "lab.verdict",
	"control": "",
	"stage": 1,
	"ttl_seconds": 60,
	"prompt": "task-fit",
	"accepts": ["allow"],
	"min_confidence": 0.8,
} if {
	some t in input.targets
	t.name == "judged_strictly"
}

# METADATA
# title: First the subject
require contains {
	"kind": "confirmation",
	"id": "lab.confirm",
	"code": "lab.confirm",
	"control": "",
	"stage": 1,
	"ttl_seconds": 300,
	"min_assurance": "signed_in",
} if {
	some t in input.targets
	t.name == "staged"
}

# METADATA
# title: Then two leaders
require contains {
	"kind": "approval",
	"id": "lab.approve",
	"code": "lab.approve",
	"control": "",
	"stage": 2,
	"ttl_seconds": 600,
	"seats": [{"group_id": "leaders", "n": 2}],
	"deny_quorum": 1,
	"reason_required": true,
} if {
	some t in input.targets
	t.name == "staged"
}

# METADATA
# title: The subject has agreed to this agent
require contains {
	"kind": "consent",
	"id": "lab.consent",
	"code": "lab.consent",
	"control": "",
	"stage": 1,
	"ttl_seconds": 600,
	"scope": "lab",
	"purpose": "tests",
} if {
	some t in input.targets
	t.name == "consented"
}

# METADATA
# title: Results are shortened
oblige contains {"kind": "truncate", "code": "lab.truncate", "bytes": 1000} if {
	some t in input.targets
	t.name in {"obliged", "torn"}
}

# METADATA
# title: Results are shortened in another way
oblige contains {"kind": "truncate", "code": "lab.truncate_more", "bytes": 10} if {
	some t in input.targets
	t.name == "torn"
}
