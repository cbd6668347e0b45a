"""Approvals by people: requests, votes, grants, consents and delegations, by the same rules for gRPC, command line
and console. Every action is by a `Person`, verified for that action."""
