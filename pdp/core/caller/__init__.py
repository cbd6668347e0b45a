"""What callers ask and make of answers, the same in the client and in the gateways and hooks of the service."""
