package baseline_test

import data.lib.testing
import data.packs.baseline

found(kind, detail) := testing.call({"arguments": {"findings": [{"kind": kind, "pointer": "/a", "detail": detail}]}})

test_an_attack_on_an_interpreter_denies if {
	every finding in [["shell", "remote_code"], ["shell_word", "breakout"], ["path", "traversal"], ["sql", "tautology"], ["sql_value", "breakout"], ["url", "metadata_host"], ["html", "handler"], ["markdown", "script_url"], ["code", "process"], ["code_value", "template"], ["email", "header_injection"], ["email_header", "header_injection"], ["argv", "option"], ["unknown", "traversal"]] {
		"arguments.injection" in testing.codes(baseline.deny) with input as found(finding[0], finding[1])
			with data.org as testing.org
	}
}

test_a_text_that_was_not_judged_denies if {
	every kind in {"shell", "shell_word", "path", "sql", "sql_value", "url", "html", "markdown", "code", "code_value", "email", "email_header", "argv", "text", "unknown"} {
		"arguments.unparsed" in testing.codes(baseline.deny) with input as found(kind, "unparsed") with data.org as testing.org
	}
}

test_a_doubtful_text_is_confirmed if {
	baseline.deny == set() with input as found("shell", "privilege") with data.org as testing.org
	codes := testing.codes(baseline.require) with input as found("shell", "privilege") with data.org as testing.org
	codes == {"arguments.suspect"}
}

test_a_doubtful_text_of_an_unattended_agent_is_approved if {
	asked := object.union(found("path", "sensitive"), {"subject": {"kind": "service"}})
	codes := testing.codes(baseline.require) with input as asked with data.org as testing.org
	codes == {"arguments.suspect_unattended"}
}

test_other_findings_are_facts_alone if {
	every finding in [["path", "absolute"], ["path", "remote_code"], ["secret", "unparsed"]] {
		codes := testing.codes(baseline.deny) & {"arguments.injection", "arguments.unparsed"} with input as found(finding[0], finding[1])
			with data.org as testing.org
		codes == set()
		required := testing.codes(baseline.require) with input as found(finding[0], finding[1]) with data.org as testing.org
		required == set()
	}
}

test_a_suspicion_is_confirmed_where_the_profile_is_balanced if {
	org := object.union(testing.org, {"profile": "balanced"})
	asked := found("unknown", "traversal")
	denied := testing.codes(baseline.deny) with input as asked with data.org as org
	not "arguments.injection" in denied
	codes := testing.codes(baseline.require) with input as asked with data.org as org
	codes == {"arguments.suspect"}
}

test_a_doubtful_text_that_nobody_declares_is_confirmed if {
	every detail in {"option", "sensitive", "statement", "control"} {
		codes := testing.codes(baseline.require) with input as found("unknown", detail) with data.org as testing.org
		codes == {"arguments.suspect"}
	}
}
