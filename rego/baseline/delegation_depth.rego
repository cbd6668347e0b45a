package packs.baseline

# METADATA
# title: Short chains of delegation
# description: Each actor between the subject and the call is one more who may have changed its meaning.
deny contains {
	"code": "delegation.depth",
	"message": "More actors stand between the subject and this call than the organisation permits.",
	"control": "MB-1.3",
} if {
	count(input.actors) > data.org.delegation.max_actors
}
