"""OpenID AuthZEN 1.0: the same services, asked in the words of that standard."""
