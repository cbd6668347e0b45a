-- What is used of budgets, what is in flight, and what each allow has reserved until its outcome is known.
CREATE TABLE budgets (
  idx TEXT NOT NULL, -- a keyed index: a budget, whose it is, and its window
  task TEXT NOT NULL, -- of the first session, where tasks have budgets of their own
  used {number} NOT NULL,
  in_flight {number} NOT NULL,
  until_ns {number} NOT NULL,
  PRIMARY KEY (idx, task)
) {keyed}

CREATE INDEX budgets_by_age ON budgets (until_ns)

CREATE TABLE reservations (
  decision_id TEXT NOT NULL,
  idx TEXT NOT NULL,
  task TEXT NOT NULL,
  amount {number} NOT NULL,
  until_ns {number} NOT NULL,
  PRIMARY KEY (decision_id, idx, task)
) {keyed}

CREATE INDEX reservations_by_age ON reservations (until_ns)
