-- What a session is bound to besides its task. One of an older release is bound by its next call.
ALTER TABLE sessions ADD COLUMN scopes TEXT NOT NULL DEFAULT ''

ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT ''
