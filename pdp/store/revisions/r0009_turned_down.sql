-- Finds what people refused, and what was taken back, of like calls.
CREATE INDEX approvals_turned_down ON approvals
  (tenant, call_subject_id, call_agent, call_server, call_tool, resolved_ns)
  WHERE state IN ('cancelled', 'denied', 'revoked')
