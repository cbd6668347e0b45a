"""The calls of gateways on the same port: Envoy's external authorization, agentgateway's policy call for MCP.

Used from outside: `options.GatewayOptions`; `deciding.Deciding`, `ext_authz.Authorization`, `ext_mcp.ExtMcp`.
"""
