"""Identity of callers and subjects, with actor chain and agent.

`component.IdentityComponent` is the whole of it: its `callers` and `subjects` implement the ports of the same names.
Signing keys are cached, and which key has verified which token; a token's validity is checked on every call.
"""
