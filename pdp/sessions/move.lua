-- ARGV: the work. What lies under a former index key, each with the place where it belongs and, of a session, its
-- fields there. What is there already was taken over before, or is younger, and stays. A row keeps its age.
for _, each in ipairs(cjson.decode(ARGV[1])) do
  if redis.call('EXISTS', each.to) == 1 then
    redis.call('DEL', each.from)
  elseif redis.call('EXISTS', each.from) == 1 then
    redis.call('RENAME', each.from, each.to)
    for name, value in pairs(each.row) do redis.call('HSET', each.to, name, value) end
  end
end
return {}
