-- ARGV: steps seen, another name, the work. After the commit: what it made true loosens. A mark is told of once the
-- store has it; a reset in between takes it away again. What was refused is not counted.
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
