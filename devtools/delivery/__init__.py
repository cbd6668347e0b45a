"""The gates of our own delivery: vulnerable packages, licences, and credentials in the repository."""
