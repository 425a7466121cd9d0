-- The end of the script that steps.lua begins: what is asked for is read, or made as a step of the branch's day, once by its
-- request id. Whatever comes back has been kept.
local READING = {state = true, board = true, ticket = true, live = true, cash_day = true, cash_unsure = true}
if READING[step] then
  local found, why = steps[step]()
  return found and cjson.encode(found) or refuse(why)
end

-- An answer with the branch as it is now, where somebody wants to be told how he stands in it.
local function looked(answer)
  if not a.look then return answer end
  return {answer, cjson.encode(steps.state())}
end

if redis.call('SISMEMBER', branches, a.branch) == 0 then
  if redis.call('SCARD', branches) >= a.branches_max then return refuse('branch-full') end
  redis.call('SADD', branches, a.branch)
end
begin_day()
if a.request then
  local done = redis.call('HGET', requests, a.request)
  if done then
    local was = cjson.decode(done)
    if was.print ~= a.print then return kept(refuse('request-id-reused')) end
    return kept(looked(was.answer))
  end
  if redis.call('HLEN', requests) >= a.requests_max then return kept(refuse('branch-full')) end
end
-- Without Kafka the outbox grows: at its end no tickets are issued, and what waits goes on up to twice of it.
if redis.call('XLEN', outbox) >= 2 * a.outbox_max then return kept(refuse('queue-unavailable')) end
local found, why, ticket = steps[step]()
if not found then return kept(refuse(why, ticket)) end
local answer = cjson.encode(found)
if not next(found) then return kept(looked(answer)) end
set('last', whole(now))
if a.request then
  redis.call('HSET', requests, a.request, cjson.encode({print = a.print, answer = answer}))
end
return kept(looked(answer))
