-- ARGV: steps seen, another name, the work. What comes of a session is what the store's statement makes of it
-- (`store.rows.SESSIONS`): all or, where one of them is refused, nothing.
-- Answers lost, steps, and either 'conflict', or for each change of a pair the mark that the store is to have, and
-- what a reset finds awaited.
local work = cjson.decode(ARGV[3])
local function later(a, b) return a > b and a or b end
local bound = {'task', 'scopes', 'address'}
local rows, ages = {}, {}
for _, each in ipairs(work.sessions) do
  local e, s = each.row, rows[each.key]
  if s == nil then s = row_at(each.key) end
  if s then
    local over = s.owner ~= e.owner or s.state ~= 'open' or s.over_ns <= e.used_ns
    local same = s.parent == e.parent
    for _, name in ipairs(bound) do same = same and (e[name] == '' or s[name] == '' or s[name] == e[name]) end
    local calls, before = tonumber(e.calls), tonumber(s.calls)
    local knows = calls == 0 or before > 0 or (e.opened_ns == s.opened_ns and e.opened_ns < e.used_ns)
    same = same and knows and (calls > 0 or before == 0 or e.state ~= 'open')
    local mine = s.owner == e.owner and s.state == 'open' and (s.over_ns <= e.used_ns or same)
    if s.until_ns >= work.now and not mine then return {lost, tonumber(seq), 'conflict'} end
    if s.until_ns < e.until_ns then ages[each.key] = each.age_ms end
    e.until_ns, e.used_ns = later(s.until_ns, e.until_ns), later(s.used_ns, e.used_ns)
    if not over then
      if s.opened_ns < e.opened_ns then e.opened_ns = s.opened_ns end
      if e.state == 'open' then e.over_ns = later(s.over_ns, e.over_ns) end
      e.calls, e.denials = s.calls + e.calls, s.denials + e.denials
      e.parent, e.tree = s.parent, s.tree
      for _, name in ipairs(bound) do if s[name] ~= '' then e[name] = s[name] end end
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
