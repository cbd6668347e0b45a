"""What a caller is told when the engine does not answer: code and message of each EngineFault."""

from __future__ import annotations

from pdp.policy.embedded.wire import Status

UNAVAILABLE = ("policy.unavailable", "The policy engine is not available; the call is denied. Try again later.")
BUSY = ("policy.unavailable", "The policy engine was too busy to decide in time; try again later.")
TIMEOUT = ("policy.timeout", "The policy did not come to a decision in time.")
CRASHED = ("policy.crashed", "The policy engine crashed on this call.")
MISMATCH = ("policy.mismatch", "The policy engine's answer does not belong to this call.")
TOO_LARGE = ("policy.input", "The input document is too large; send smaller arguments or fewer tools.")

BY_CODE = {fault[0]: fault for fault in (UNAVAILABLE, MISMATCH)}
BY_STATUS = {
    Status.INPUT: ("policy.input", "The input document is not one that the policy engine accepts."),
    Status.UNDEFINED: ("policy.undefined", "The policy returned no decision."),
    Status.NOT_A_DECISION: ("policy.not_a_decision", "The policy did not return a decision."),
    Status.ERROR: ("policy.error", "The policy failed while it was evaluated."),
}
