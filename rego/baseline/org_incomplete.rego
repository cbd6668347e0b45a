package packs.baseline

# METADATA
# title: Organisation data is complete
# description: The schema sees to that. This rule holds even where it does not, since other rules would fall silent without these keys.
deny contains {
	"code": "org.incomplete",
	"message": "The organisation's data lacks a key that the baseline needs; see schemas/org.json.",
	"control": "MB-1.3",
} if {
	not data.lib.org.complete
}
