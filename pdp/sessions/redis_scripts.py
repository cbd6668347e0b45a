"""Redis scripts: each is one atomic step in one round trip.

Keys, all below `PREFIX:NAMESPACE`: `state` (the name of the data set and its number of steps), and for each tenant
`s:INDEX` (a session's row), `p:PAIR` (whether the data of the pair is whole) and `a:PAIR` (the decisions whose
results it awaits). Instants are decimals of twenty digits: Lua's numbers do not hold them.

Every step begins alike: where Redis knows fewer steps than the process has seen, data was lost, and the data set gets
another name. Every mark with the old name then counts as not whole.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from pdp.core.record.stored import SessionRow

FIELDS = tuple(field.name for field in fields(SessionRow) if field.name != "index")
INDEXES = ("owner", "parent", "tree", "task", "address")  # fields that hold keyed indexes, or nothing


def _script(name: str) -> str:
    return Path(__file__).with_name(f"{name}.lua").read_text(encoding="utf-8")


_BEGIN = _script("begin")

_ROW = f"""
local names = {{{", ".join(f"'{name}'" for name in FIELDS)}}}
local function row_at(key)
  local values = redis.call('HMGET', key, unpack(names))
  if not values[1] then return false end
  local row = {{}}
  for n, name in ipairs(names) do row[name] = values[n] or '' end
  return row
end
"""

READ = _BEGIN + _ROW + _script("read")
TIGHTEN = _BEGIN + _ROW + _script("tighten")
LOOSEN = _BEGIN + _script("loosen")
MOVE = _script("move")
