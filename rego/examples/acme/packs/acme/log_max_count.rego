package packs.acme

# METADATA
# title: No bulk reading of the history
# description: |
#   The limit is `git_log.max_count` of data/org.json. The rule denies unless the count is positively within it, so a
#   limit that is missing, or a count that is not a number, denies. The tool's own default (10) applies when the
#   argument is left out.
deny contains {
	"code": "acme.log.max_count",
	"message": "git_log may not read that many commits at once. Ask for fewer (max_count).",
	"control": "",
} if {
	some t in input.targets
	t.name == "git_log"
	not log_count_within_limit
}

log_count_within_limit if {
	is_number(log_count)
	some limit in data.org.limits
	limit.name == "git_log.max_count"
	log_count >= 1
	log_count <= limit.max
}

default log_count := 10

log_count := input.arguments.value.max_count
