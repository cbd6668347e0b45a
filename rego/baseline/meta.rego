# METADATA
# title: The baseline
# description: |
#   The minimum that holds for every server, after the OWASP guide "A Practical Guide for Secure MCP Server
#   Development" and the OWASP MCP Top 10. `control` names what an element serves:
#   MB-1 identity, authorization and policy; MB-2 isolation and lifecycle; MB-3 trusted tooling; MB-4 schema-driven
#   validation; MB-5 hardening and oversight (the guide's minimum bar, item by item); MCPnn the Top 10.
#   Identity, registry, pinning, session and switches are checked by `pdp` itself and not repeated here.
#   The baseline grants nothing. Elements with `waivable: true` can be softened by a signed waiver.
#   Rules here use nothing of their own package and name what they share by its full path (`data.lib...`), never by
#   an import: of a package in several files the embedded engine (regorus 0.13) drops rules that do either, silently.
package packs.baseline

# METADATA
# title: Contract data of this pack
meta := {"servers": [], "owner": "pdp"}
