-- Where fewer steps are known than this process has seen, data was lost: what is there is given another name.
local id, seq = unpack(redis.call('HMGET', KEYS[1], 'id', 'seq'))
local lost = 0
if not id or tonumber(seq) < tonumber(ARGV[1]) then
  id, seq, lost = ARGV[2], ARGV[1], 1
  redis.call('HSET', KEYS[1], 'id', id, 'seq', seq)
end
