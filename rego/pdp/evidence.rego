package pdp

# METADATA
# title: Where a requirement stands
# description: |
#   Refused, failed, met or open, the worst that any live answer says. Evidence is read in this file only, so
#   nothing but a requirement can ever be answered by it.
state(r) := strongest({worth(r, e) | some e in input.evidence; answers(r, e)})

strongest(found) := "refused" if {
	"refused" in found
} else := "failed" if {
	"failed" in found
} else := "met" if {
	"met" in found
} else := "open"

# For exactly this requirement (a raised quorum is another requirement), this call, and not yet expired.
answers(r, e) if {
	e.for == r
	input.call.digest != ""
	e.call == input.call.digest
	is_number(e.expires_ns)
	e.expires_ns > input.time.ns
}

# METADATA
# title: What one answer is worth
# description: People answer met, refused or failed; anything else is failed. A judge gives a verdict, never a state.
worth(r, e) := judged(r, e) if {
	r.kind == "judge"
} else := e.state if {
	e.state in {"met", "refused", "failed"}
} else := "failed"

# METADATA
# title: What a verdict is worth
# description: |
#   By the requirement's `weight`: an adviser is heard and settles nothing else; a veto may refuse and unlocks nothing,
#   for people decide as well; a verdict (without a weight) may do both. A judge unlocks nothing on a statement that only
#   the agent made, nor with another prompt than the pinned one.
judged(r, e) := "met" if {
	r.weight == "advice"
} else := "refused" if {
	e.verdict == "deny"
} else := "met" if {
	r.weight == "veto"
} else := "met" if {
	e.status == "ok"
	is_string(e.prompt_sha256)
	e.prompt_sha256 != ""
	e.prompt_sha256 == input.judge.prompts[r.prompt]
	e.verdict in r.accepts
	is_number(e.confidence)
	is_number(r.min_confidence)
	e.confidence >= r.min_confidence
	input.session.task_source in {"subject_signed", "caller"}
} else := "failed"
