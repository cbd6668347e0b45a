-- What people are shown of a request names the folder in which its call would run.
ALTER TABLE shown ADD COLUMN working_folder TEXT NOT NULL DEFAULT ''
