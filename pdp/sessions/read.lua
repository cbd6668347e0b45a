-- ARGV: steps seen, another name, prefix of the tenant's keys, session, parent, pair.
-- Answers lost, steps, the rows of session and parent (or none) with the parent's index between, and for each pair its
-- mark ('' where it is not of this data) and the number of awaited results.
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
