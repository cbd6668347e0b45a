"""Analysis of texts: hidden characters, credentials, prompt injection, and the user's own words."""
