-- Finds what was approved and redeemed by the subject of the call.
DROP INDEX approvals_redeemed

CREATE INDEX approvals_redeemed ON approvals (tenant, call_subject_id, call_agent, call_server, call_tool, seq)
  WHERE state = 'redeemed'
