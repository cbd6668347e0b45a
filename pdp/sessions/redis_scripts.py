"""What Redis runs: each script is one atomic step, in one round trip.

Keys, all below `PREFIX:NAMESPACE`: `state` (which data this is, and how many steps changed it), and of a tenant
`s:INDEX` (a session's row), `p:PAIR` (whether what is known of the pair is whole) and `a:PAIR` (the decisions whose
results it awaits). Instants are decimals of twenty digits, for Lua's numbers do not hold them.

Every step begins alike: where fewer steps are known than this process has seen, data was lost, and what is there is
given another name. Whatever was marked with the old one then counts as not whole.
"""

from __future__ import annotations

from dataclasses import fields

from pdp.core.record.stored import SessionRow

FIELDS = tuple(field.name for field in fields(SessionRow) if field.name != "index")
INDEXES = ("owner", "parent", "tree", "task")  # fields that hold keyed indexes, or nothing

_BEGIN = """
local id, seq = unpack(redis.call('HMGET', KEYS[1], 'id', 'seq'))
local lost = 0
if not id or tonumber(seq) < tonumber(ARGV[1]) then
  id, seq, lost = ARGV[2], ARGV[1], 1
  redis.call('HSET', KEYS[1], 'id', id, 'seq', seq)
end
"""

_ROW = f"""
local names = {{{", ".join(f"'{name}'" for name in FIELDS)}}}
local function row_at(key)
  local values = redis.call('HMGET', key, unpack(names))
  if not values[1] then return false end
  local row = {{}}
  for n, name in ipairs(names) do row[name] = values[n] end
  return row
end
"""

# ARGV: steps seen, another name, prefix of the tenant's keys, session, parent, pair.
# Answers lost, steps, the rows of session and parent (or none) with the parent's index between, and for each pair its
# mark ('' where it is not of this data) and the number of awaited results.
READ = (
    _BEGIN
    + _ROW
    + """
local base = ARGV[3]
local function told(row)
  if not row then return false end
  local values = {}
  for n, name in ipairs(names) do values[n] = row[name] end
  return values
end
local session = ARGV[4] ~= '' and row_at(base .. 's:' .. ARGV[4])
local first = session and session.parent ~= '' and session.parent or ARGV[5]
local parent = first ~= '' and row_at(base .. 's:' .. first)
local found, seen = {}, {['']=true}
for _, pair in ipairs({ARGV[6], session and session.tree or '', parent and parent.tree or ''}) do
  if not seen[pair] then
    seen[pair] = true
    local mark = redis.call('HMGET', base .. 'p:' .. pair, 'mark', 'id')
    found[#found + 1] = {pair, mark[2] == id and mark[1] or '', redis.call('SCARD', base .. 'a:' .. pair)}
  end
end
return {lost, tonumber(seq), told(session), first, told(parent), found}
"""
)

# ARGV: steps seen, another name, the work. What comes of a session is what the store's statement makes of it
# (`store.rows.SESSIONS`): all or, where one of them is refused, nothing.
# Answers lost, steps, and either 'conflict', or for each change of a pair the mark that the store is to have, and
# what a reset finds awaited.
TIGHTEN = (
    _BEGIN
    + _ROW
    + """
local work = cjson.decode(ARGV[3])
local function later(a, b) return a > b and a or b end
local rows, ages = {}, {}
for _, each in ipairs(work.sessions) do
  local e, s = each.row, rows[each.key]
  if s == nil then s = row_at(each.key) end
  if s then
    local over = s.owner ~= e.owner or s.state ~= 'open' or s.over_ns <= e.used_ns
    local same = s.parent == e.parent and (e.task == '' or s.task == '' or s.task == e.task)
    local mine = s.owner == e.owner and s.state == 'open' and (s.over_ns <= e.used_ns or same)
    if s.until_ns >= work.now and not mine then return {lost, tonumber(seq), 'conflict'} end
    if s.until_ns < e.until_ns then ages[each.key] = each.age_ms end
    e.until_ns, e.used_ns = later(s.until_ns, e.until_ns), later(s.used_ns, e.used_ns)
    if not over then
      if s.opened_ns < e.opened_ns then e.opened_ns = s.opened_ns end
      if e.state == 'open' then e.over_ns = later(s.over_ns, e.over_ns) end
      e.calls, e.denials = s.calls + e.calls, s.denials + e.denials
      e.parent, e.tree = s.parent, s.tree
      if s.task ~= '' then e.task = s.task end
    end
  else
    ages[each.key] = each.age_ms
  end
  rows[each.key] = e
end
for key, row in pairs(rows) do
  for _, name in ipairs(names) do redis.call('HSET', key, name, row[name]) end
  if ages[key] then redis.call('PEXPIRE', key, ages[key]) end
end
local told = {}
for n, each in ipairs(work.pairs) do
  local mark, gone = '', {}
  if each.reset then
    gone = redis.call('SMEMBERS', each.awaited)
    redis.call('DEL', each.pair)
  end
  if #each.awaits > 0 then
    if redis.call('HSETNX', each.pair, 'mark', each.mark) == 1 then redis.call('HSET', each.pair, 'id', id) end
    if redis.call('HEXISTS', each.pair, 'told') == 0 then mark = redis.call('HGET', each.pair, 'mark') end
    redis.call('SADD', each.awaited, unpack(each.awaits))
  end
  told[n] = {mark, gone}
end
return {lost, redis.call('HINCRBY', KEYS[1], 'seq', 1), told}
"""
)

# ARGV: steps seen, another name, the work. After the commit: what it made true loosens. A mark is told of once the
# store has it; a reset in between takes it away again. What was refused is not counted.
LOOSEN = (
    _BEGIN
    + """
local work = cjson.decode(ARGV[3])
for _, each in ipairs(work.counts) do
  local owner, opened, state = unpack(redis.call('HMGET', each.key, 'owner', 'opened_ns', 'state'))
  if owner == each.owner then
    redis.call('HINCRBY', each.key, 'denials', 0 - each.denials)
    local calls = redis.call('HINCRBY', each.key, 'calls', 0 - each.calls)
    if calls == 0 and opened == each.opened_ns and state == 'open' then redis.call('DEL', each.key) end
  end
end
for _, each in ipairs(work.pairs) do
  local mark = redis.call('HGET', each.pair, 'mark')
  if each.reset and mark and not each.marks[mark] then redis.call('DEL', each.pair) end
  if #each.gone > 0 then redis.call('SREM', each.awaited, unpack(each.gone)) end
  if each.mark ~= '' and mark == each.mark then redis.call('HSET', each.pair, 'told', 1) end
end
return {lost, redis.call('HINCRBY', KEYS[1], 'seq', 1)}
"""
)

# ARGV: the work. What lies under a former index key, each with the place where it belongs and, of a session, its
# fields there. What is there already was taken over before, or is younger, and stays. A row keeps its age.
MOVE = """
for _, each in ipairs(cjson.decode(ARGV[1])) do
  if redis.call('EXISTS', each.to) == 1 then
    redis.call('DEL', each.from)
  elseif redis.call('EXISTS', each.from) == 1 then
    redis.call('RENAME', each.from, each.to)
    for name, value in pairs(each.row) do redis.call('HSET', each.to, name, value) end
  end
end
return {}
"""
