-- Switches of one more scope: tools in quarantine.
ALTER TABLE switches RENAME TO switches_before

CREATE TABLE switches (
  tenant TEXT NOT NULL,
  scope TEXT NOT NULL CHECK (scope IN ('everything', 'tenant', 'server', 'tool', 'agent', 'subject', 'quarantine')),
  server TEXT NOT NULL,
  value TEXT NOT NULL,
  engaged {number} NOT NULL CHECK (engaged IN (0, 1)),
  reason TEXT NOT NULL,
  by TEXT NOT NULL,
  at_ns {number} NOT NULL,
  until_ns {number} NOT NULL,
  PRIMARY KEY (tenant, scope, server, value)
) {strict}

INSERT INTO switches (tenant, scope, server, value, engaged, reason, by, at_ns, until_ns)
SELECT tenant, scope, server, value, engaged, reason, by, at_ns, until_ns FROM switches_before

DROP TABLE switches_before
