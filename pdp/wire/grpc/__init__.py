"""The gRPC API (`pdp.v1`): codec, servicers, the one fault interceptor, and the server.

Used from outside: `options.ServerOptions`, `servicer.Services`, `server.GrpcServer`.
"""
