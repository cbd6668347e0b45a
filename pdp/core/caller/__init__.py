"""The caller's side: requests and answers, shared by the client and the service's gateways and hooks."""
