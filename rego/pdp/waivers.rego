package pdp

# METADATA
# title: Waivers
# description: |
#   Signed exceptions, by code and server, until a date. They soften elements of the baseline that say they may be
#   waived, never identity or isolation (MB-1, MB-2), never an organisation's own elements, never the gate.
default waived(_, _) := false

waived(p, element) if {
	p == "baseline"
	count(live_waivers(element)) > 0
}

live_waivers(element) := {w.id |
	waivable(element)
	some w in input.waivers
	has_text(w, "id")
	w.code == element.code
	w.server == input.server.id
	is_number(w.expires_ns)
	w.expires_ns > input.time.ns
}

waivable(element) if {
	element.waivable == true
	is_string(element.control)
	regex.match(`^(MB-[345]\.[0-9]+|MCP[0-9]+)$`, element.control)
}

waived_elements contains waiver_use(element.code, id) if {
	some element in packs.baseline.hide
	some t in input.targets
	element.target == t.key
	some id in live_waivers(element)
}

waived_elements contains waiver_use(element.code, id) if {
	some element in packs.baseline.deny
	some id in live_waivers(element)
}

waived_elements contains waiver_use(element.code, id) if {
	input.phase == "call"
	some element in packs.baseline.require
	some id in live_waivers(element)
}

waiver_use(code, id) := {"pack": "baseline", "code": code, "waiver": id, "server": input.server.id}
