"""Identity of callers and subjects, with actor chain and agent.

`authentication.Authentication` is the whole of it: its `callers` and `subjects` implement the ports of those names.
Signing keys are cached, and which key has verified which token; a token's validity is checked on every call.
"""
