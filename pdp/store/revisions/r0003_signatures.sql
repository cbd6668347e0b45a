CREATE TABLE signatures (
  tenant TEXT NOT NULL,
  passkey_id TEXT NOT NULL,
  count {number} NOT NULL,
  at_ns {number} NOT NULL,
  PRIMARY KEY (tenant, passkey_id)
) {strict}
