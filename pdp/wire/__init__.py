"""The calls that reach the service: gRPC, gateways, AuthZEN, hooks. No decision is made here."""
