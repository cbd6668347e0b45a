# METADATA
# title: What the organisation asks a judge for
package lib.judge

# METADATA
# title: A judge looks at changes of medium risk
# description: Only on a statement of the task that the agent did not write.
default looks := false

looks if {
	data.org.judge.medium == "instead"
	input.session.task_source in {"subject_signed", "caller"}
}

# METADATA
# title: The judge stands in for the subject's confirmation
# description: Until it refused several like calls in a day. Who goes on asking may be looking for a kinder verdict.
default instead := false

instead if {
	looks
	not shopping
}

# METADATA
# title: Changes of medium risk that a judge looks at
# description: Whatever people are asked besides, its denial ends the matter, so no second judge is asked.
medium contains t.key if {
	data.lib.subject.attended
	looks
	some t in input.targets
	t.risk_level == 2
	t.key in data.lib.targets.changing
	not t.key in data.lib.targets.destructive
}

# METADATA
# title: The judge refused this subject's agent three times with this tool
shopping if input.call.judge_refusals >= 3
