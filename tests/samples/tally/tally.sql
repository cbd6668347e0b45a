-- How often it was looked.
CREATE TABLE tally (looked {number} NOT NULL) {strict}

INSERT INTO tally (looked) VALUES (0)
