CREATE TABLE approvals (
  id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  "index" TEXT NOT NULL,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  version {number} NOT NULL,
  call_digest TEXT NOT NULL,
  call_subject_issuer TEXT NOT NULL,
  call_subject_id TEXT NOT NULL,
  call_actors TEXT NOT NULL,
  call_agent TEXT NOT NULL,
  call_caller TEXT NOT NULL,
  call_session TEXT NOT NULL,
  call_server TEXT NOT NULL,
  call_tool TEXT NOT NULL,
  call_manifest_sha256 TEXT NOT NULL,
  requirement {bytes} NOT NULL,
  title TEXT NOT NULL,
  risk TEXT NOT NULL,
  short_code TEXT NOT NULL,
  subject_index TEXT NOT NULL,
  decision_id TEXT NOT NULL,
  policy_revision TEXT NOT NULL,
  policy_digest TEXT NOT NULL,
  opened_ns {number} NOT NULL,
  expires_ns {number} NOT NULL,
  changed_ns {number} NOT NULL,
  resolved_ns {number} NOT NULL,
  resolution TEXT NOT NULL,
  redemption_id TEXT NOT NULL,
  redeemed_call TEXT NOT NULL,
  canary {number} NOT NULL,
  seq {number} NOT NULL,
  PRIMARY KEY (id)
) {strict}

CREATE INDEX approvals_all ON approvals (tenant, id)

CREATE INDEX approvals_by_call ON approvals (tenant, call_digest, id)

CREATE UNIQUE INDEX approvals_by_change ON approvals (seq)

CREATE INDEX approvals_by_expiry ON approvals (expires_ns) WHERE state IN ('approved', 'pending')

CREATE UNIQUE INDEX approvals_by_index ON approvals (tenant, "index") WHERE state IN ('approved', 'pending')

CREATE INDEX approvals_by_subject ON approvals (tenant, subject_index) WHERE state IN ('approved', 'pending')

CREATE INDEX approvals_of_subject ON approvals (tenant, call_subject_id, id)

CREATE INDEX approvals_open ON approvals (tenant, id) WHERE state IN ('approved', 'pending')

CREATE INDEX approvals_redeemed ON approvals (tenant, call_agent, call_server, call_tool, seq)
  WHERE state = 'redeemed'

CREATE TABLE seats (
  approval_id TEXT NOT NULL,
  group_id TEXT NOT NULL,
  PRIMARY KEY (approval_id, group_id)
) {keyed}

CREATE INDEX seats_by_group ON seats (group_id, approval_id)

CREATE TABLE shown (
  approval_id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  subject_index TEXT NOT NULL,
  salt {bytes} NOT NULL,
  arguments {bytes} NOT NULL,
  secrets TEXT NOT NULL,
  task TEXT NOT NULL,
  task_source TEXT NOT NULL,
  effects TEXT NOT NULL,
  agent_name TEXT NOT NULL,
  PRIMARY KEY (approval_id)
) {strict}

CREATE INDEX shown_by_subject ON shown (tenant, subject_index)

CREATE TABLE votes (
  id TEXT NOT NULL,
  approval_id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  human TEXT NOT NULL,
  account_issuer TEXT NOT NULL,
  account_id TEXT NOT NULL,
  choice TEXT NOT NULL,
  reason TEXT NOT NULL,
  assurance TEXT NOT NULL,
  "groups" TEXT NOT NULL,
  claimed TEXT NOT NULL,
  surface TEXT NOT NULL,
  at_ns {number} NOT NULL,
  presented TEXT NOT NULL,
  behalf TEXT NOT NULL,
  delegation TEXT NOT NULL,
  passkey {bytes} NOT NULL,
  "grant" {bytes} NOT NULL,
  seq {number} NOT NULL,
  PRIMARY KEY (id)
) {strict}

CREATE UNIQUE INDEX votes_of_request ON votes (approval_id, seq)

CREATE TABLE grants (
  id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  state TEXT NOT NULL,
  version {number} NOT NULL,
  subject_issuer TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  agent TEXT NOT NULL,
  caller TEXT NOT NULL,
  server TEXT NOT NULL,
  tool TEXT NOT NULL,
  manifest_sha256 TEXT NOT NULL,
  requirement {bytes} NOT NULL,
  arguments_schema {bytes} NOT NULL,
  session TEXT NOT NULL,
  uses {number} NOT NULL,
  used {number} NOT NULL,
  issued_ns {number} NOT NULL,
  expires_ns {number} NOT NULL,
  changed_ns {number} NOT NULL,
  approval_id TEXT NOT NULL,
  issued_by TEXT NOT NULL,
  subject_index TEXT NOT NULL,
  ended_by TEXT NOT NULL,
  PRIMARY KEY (id)
) {strict}

CREATE INDEX grants_all ON grants (tenant, id)

CREATE INDEX grants_of_subject ON grants (tenant, subject_id, id)

CREATE TABLE consents (
  id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  version {number} NOT NULL,
  subject_issuer TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  subject_index TEXT NOT NULL,
  agent TEXT NOT NULL,
  server TEXT NOT NULL,
  tool TEXT NOT NULL,
  scope TEXT NOT NULL,
  purpose TEXT NOT NULL,
  granted_ns {number} NOT NULL,
  expires_ns {number} NOT NULL,
  assurance TEXT NOT NULL,
  ended_ns {number} NOT NULL,
  last_used_ns {number} NOT NULL,
  approval_id TEXT NOT NULL,
  PRIMARY KEY (id)
) {strict}

CREATE INDEX consents_of_subject ON consents (tenant, subject_id, id)

CREATE TABLE evidence (
  call_digest TEXT NOT NULL,
  requirement_sha256 TEXT NOT NULL,
  tenant TEXT NOT NULL,
  kind TEXT NOT NULL,
  element {bytes} NOT NULL,
  expires_ns {number} NOT NULL,
  created_ns {number} NOT NULL,
  redemption_id TEXT NOT NULL,
  basis TEXT NOT NULL,
  asker TEXT NOT NULL,
  refused {number} NOT NULL,
  subject_index TEXT NOT NULL,
  opinion {bytes} NOT NULL,
  PRIMARY KEY (call_digest, requirement_sha256)
) {strict}

CREATE INDEX evidence_of_asker ON evidence (tenant, asker, created_ns)

CREATE TABLE delegations (
  id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  absent TEXT NOT NULL,
  deputy TEXT NOT NULL,
  from_ns {number} NOT NULL,
  until_ns {number} NOT NULL,
  reason TEXT NOT NULL,
  ended_ns {number} NOT NULL,
  PRIMARY KEY (id)
) {strict}

CREATE INDEX delegations_open ON delegations (tenant, until_ns) WHERE ended_ns = 0

CREATE TABLE seen (
  tenant TEXT NOT NULL,
  account_issuer TEXT NOT NULL,
  account_id TEXT NOT NULL,
  name TEXT NOT NULL,
  "groups" TEXT NOT NULL,
  at_ns {number} NOT NULL,
  PRIMARY KEY (tenant, account_issuer, account_id)
) {strict}

CREATE TABLE outcomes (
  decision_id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  caller TEXT NOT NULL,
  call_digest TEXT NOT NULL,
  redemption_id TEXT NOT NULL,
  outcome TEXT NOT NULL,
  at_ns {number} NOT NULL,
  record_id TEXT NOT NULL,
  PRIMARY KEY (decision_id)
) {strict}

CREATE INDEX outcomes_unknown ON outcomes (call_digest) WHERE outcome = 'unknown'

CREATE TABLE notices (
  id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  channel TEXT NOT NULL,
  event TEXT NOT NULL,
  approval_id TEXT NOT NULL,
  due_ns {number} NOT NULL,
  attempts {number} NOT NULL,
  done_ns {number} NOT NULL,
  problem TEXT NOT NULL,
  PRIMARY KEY (id)
) {strict}

CREATE INDEX notices_due ON notices (due_ns) WHERE done_ns = 0

CREATE TABLE active_policy (
  one {number} NOT NULL,
  digest TEXT NOT NULL,
  PRIMARY KEY (one)
) {strict}
