# METADATA
# title: The organisation's data
package lib.org

# METADATA
# title: Every key that the baseline reads is there, with the type it needs
default complete := false

complete if {
	is_number(data.org.delegation.max_actors)
	is_string(data.org.approvals.destructive)
	is_string(data.org.approvals.critical)
	is_string(data.org.approvals.unattended)
}
