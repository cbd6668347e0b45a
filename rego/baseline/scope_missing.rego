package packs.baseline

# METADATA
# title: Every permission is a scope of the token
# description: The manifest says what a tool needs; the token says what the subject agreed to.
deny contains {
	"code": "scope.missing",
	"message": "The subject's token lacks a scope that the tool's manifest asks for.",
	"control": "MB-1.2",
} if {
	some t in input.targets
	some permission in t.permissions
	not permission in input.subject.scopes
}
