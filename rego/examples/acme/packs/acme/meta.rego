# METADATA
# title: Acme's rules for its development servers
# description: |
#   Who may use what comes from data/org.json; the rules here say how that data is read. One file per rule, its test
#   beside it. What the baseline denies or requires holds in addition.
package packs.acme

# METADATA
# title: Contract data of this pack
# description: What this pack grants counts only on these servers.
meta := {"servers": ["git"], "owner": "security@acme.example"}
