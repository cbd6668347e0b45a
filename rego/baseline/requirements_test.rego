package baseline_test

import data.lib.testing
import data.packs.baseline

# What is promised: how a requirement is answered, in which stage, for how many seconds, by whom, how surely.
promise(r) := object.filter(r, ["kind", "stage", "ttl_seconds", "waivable", "seats", "deny_quorum", "min_assurance", "min_confidence", "weight", "otherwise"])

promises(question, org) := {r.id: promise(r) | some r in found} if {
	found := baseline.require with input as question with data.org as org
}

approval(group, n) := {"kind": "approval", "ttl_seconds": 3600, "seats": [{"group_id": group, "n": n}], "deny_quorum": 1}

unattended := object.union(approval("operators", 1), {"stage": 1, "waivable": true})

confirmation(assurance) := {"kind": "confirmation", "stage": 1, "ttl_seconds": 300, "min_assurance": assurance}

waivable(requirement) := object.union(requirement, {"waivable": true})

judge(more) := object.union({"kind": "judge", "stage": 1, "ttl_seconds": 120}, more)

# A judge in the subject's place, who is asked where the judge cannot tell.
instead(r, assurance) := judge({"min_confidence": 0.8, "otherwise": {
	"kind": "confirmation",
	"id": sprintf("%s.confirm", [r]),
	"code": sprintf("%s.confirm", [r]),
	"control": "MCP06",
	"ttl_seconds": 300,
	"min_assurance": assurance,
}})

changing(target) := object.union({"annotations": {"read_only": false, "destructive": false}}, target)

found_in_it(details) := testing.call({"arguments": {"findings": [{"kind": k, "pointer": "/a", "detail": d} | some k, d in details]}})

test_each_requirement_is_answered_by_whom_and_when_it_should_be if {
	every question in [
		[testing.call({"subject": {"kind": "service"}, "targets": [testing.tool(medium_change)]}), testing.org, {"agent.unattended": unattended}],
		[testing.call_of(changing({"annotations": {"destructive": true}})), testing.org, {"annotations.destructive": object.union(approval("approvers", 1), {"stage": 2})}],
		[testing.call_of({"risk_level": 4}), testing.org, {"risk.critical": object.union(approval("security", 2), {"stage": 2})}],
		[testing.call_of({"risk_level": 3}), testing.org, {"risk.high": confirmation("passkey")}],
		[testing.call_of(medium_change), testing.org, {"risk.medium": waivable(confirmation("signed_in"))}],
		[remembers(["untrusted"], "human"), testing.org, {"memory.tainted": {"kind": "consent", "stage": 1, "ttl_seconds": 300, "waivable": true}}],
		[read_both({"sinks": [{"kind": "email", "argument": "/to"}]}), testing.org, {"flow.exfiltration": waivable(confirmation("passkey"))}],
		[steering({}), testing.org, {"files.steering": waivable(confirmation("signed_in"))}],
		[found_in_it({"shell": "privilege"}), testing.org, {"arguments.suspect": waivable(confirmation("signed_in"))}],
		[object.union(found_in_it({"shell": "privilege"}), {"subject": {"kind": "service"}}), testing.org, {"arguments.suspect_unattended": unattended}],
		[vouched(medium_change), org_with_judge, {"judge.medium": waivable(instead("judge.medium", "signed_in"))}],
		[valued(high_change, ["sensitive"], []), balanced, {"judge.high": instead("judge.high", "passkey")}],
		[valued(mail, ["sensitive"], []), balanced, {"judge.origins": instead("judge.origins", "signed_in")}],
		[testing.call_of({"risk_level": 3}), org_with_filter, {"risk.high": confirmation("passkey"), "judge.filter": waivable(judge({"weight": "veto"}))}],
		[testing.call_of({"risk_level": 3}), org_with_advice, {"risk.high": confirmation("passkey"), "judge.advice": waivable(judge({"weight": "advice"}))}],
	] {
		promises(question[0], question[1]) == question[2]
	}
}
