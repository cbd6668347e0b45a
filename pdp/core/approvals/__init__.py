"""What people answer: requests and their votes, grants, consents. Pure: rows are values, changes are steps."""
