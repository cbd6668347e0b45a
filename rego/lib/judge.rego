# METADATA
# title: What the organisation asks a judge for
package lib.judge

# METADATA
# title: The judge stands in for the subject's confirmation
# description: Only on a statement of the task that the agent did not write.
default instead := false

instead if {
	data.org.judge.medium == "instead"
	input.session.task_source in {"subject_signed", "caller"}
}
