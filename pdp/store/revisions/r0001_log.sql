CREATE TABLE meta (name TEXT PRIMARY KEY, value {bytes} NOT NULL) {keyed}

CREATE TABLE records (
  idx {number} PRIMARY KEY CHECK (idx >= 0),
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  tenant TEXT NOT NULL,
  time_ns {number} NOT NULL,
  leaf {bytes} NOT NULL CHECK (length(leaf) = 32),
  bytes {bytes} NOT NULL CHECK (length(bytes) <= 60000)
) {strict}

CREATE TABLE "values" (
  seq {number} PRIMARY KEY, -- 16 * the record's index, plus its place among the record's values
  path TEXT NOT NULL,
  tenant TEXT NOT NULL,
  subject TEXT NOT NULL,
  salt {bytes} NOT NULL,
  data {bytes} NOT NULL
) {strict}

CREATE INDEX values_by_subject ON "values" (subject) WHERE subject <> ''

CREATE TABLE calls (
  seq {serial}, -- in order of age
  idx TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  subject TEXT NOT NULL,
  salt {bytes} NOT NULL,
  digest TEXT NOT NULL,
  created_ns {number} NOT NULL
) {strict}

CREATE INDEX calls_by_subject ON calls (subject) WHERE subject <> ''

CREATE TABLE replies (
  seq {serial}, -- in order of age: a newer answer moves to the end
  key TEXT NOT NULL UNIQUE,
  content TEXT NOT NULL,
  kind TEXT NOT NULL,
  effect TEXT NOT NULL,
  reply {bytes} NOT NULL,
  epochs TEXT NOT NULL,
  valid_until_ns {number} NOT NULL,
  created_ns {number} NOT NULL
) {strict}

CREATE TABLE artefacts (digest TEXT PRIMARY KEY, kind TEXT NOT NULL, data {bytes} NOT NULL) {strict}

CREATE TABLE switches (
  tenant TEXT NOT NULL,
  scope TEXT NOT NULL CHECK (scope IN ('everything', 'tenant', 'server', 'tool', 'agent', 'subject')),
  server TEXT NOT NULL,
  value TEXT NOT NULL,
  engaged {number} NOT NULL CHECK (engaged IN (0, 1)),
  reason TEXT NOT NULL,
  by TEXT NOT NULL,
  at_ns {number} NOT NULL,
  until_ns {number} NOT NULL,
  PRIMARY KEY (tenant, scope, server, value)
) {strict}

CREATE TABLE high_water (name TEXT PRIMARY KEY, value {number} NOT NULL) {keyed}
