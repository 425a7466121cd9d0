-- The steps of a branch's tickets, each one run of this script: all of it happens, or nothing.
-- The server syncs its append-only file before it answers, so an answer is the proof that the step is kept.
-- The order of calling is that of streams.queue.discipline, held against it by tests/queue/test_store.py.
-- cash.lua goes on with cash requests, run.lua makes the step that is asked for: the three are one script.
--
-- KEYS: of the branch, the outbox, the waiting references, past waits, service times, the branches (services.queue.tickets.keys).
-- ARGV: the step; its arguments as JSON. The answer is JSON: {refused: ...}, or what the step made; with `look`, and the branch.
local branch, outbox, references, waits, services, branches = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local tickets, requests, counters, lanes = branch .. ':tickets', branch .. ':requests', branch .. ':counters', branch .. ':lanes'
local rounds, shown, forecasts = branch .. ':rounds', branch .. ':shown', branch .. ':forecasts'
local step, a = ARGV[1], cjson.decode(ARGV[2])
local LIVE = {waiting = true, called = true, no_show = true}
local cash = {}  -- what cash.lua does in steps of tickets: expire, rerank, restore, open

local function whole(number) return string.format('%.0f', number) end
local function member(place) return string.format('%012.0f', place) end
local function refuse(why, ticket) return cjson.encode({refused = why, ticket = ticket}) end

-- The branch's own fields: read at once, and what a step changes of them is written at once, at its end (`kept`).
local FIELDS = {'last', 'day', 'closed', 'issued', 'waiting', 'places', 'steps'}
local row, changed = {}, {}
for i, value in ipairs(redis.call('HMGET', branch, unpack(FIELDS))) do row[FIELDS[i]] = value end

local function field(name)
  if row[name] == nil then row[name] = redis.call('HGET', branch, name) end
  return row[name] or nil
end

local function set(name, value) row[name], changed[name] = value, true end

local function add(name, count)
  local sum = tonumber(field(name) or 0) + count
  set(name, whole(sum))
  return sum
end

local function drop(...)
  redis.call('HDEL', branch, ...)
  for _, name in ipairs({...}) do row[name], changed[name] = false, nil end
end

local function kept(answer)
  local words = {}
  for name in pairs(changed) do
    table.insert(words, name)
    table.insert(words, row[name])
  end
  if #words > 0 then redis.call('HSET', branch, unpack(words)) end
  return answer
end

-- Time: the server's own, never before the branch's last step. A test brings its own.
local now = a.now
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
now = math.max(now, tonumber(field('last') or 0))

-- Tickets and counters

local function load(place)
  local text = place and redis.call('HGET', tickets, whole(place))
  return text and cjson.decode(text) or nil
end

local function save(t) redis.call('HSET', tickets, whole(t.place), cjson.encode(t)) end

local function counter_of(name)
  local text = name and redis.call('HGET', counters, name)
  return text and cjson.decode(text) or {}
end

local function keep_counter(name, c) redis.call('HSET', counters, name, cjson.encode(c)) end

local function tell(action, t, more)
  local sequence = add('steps', 1)
  local e = {
    branch = a.branch, action = action, sequence = sequence, day = field('day'), at = now, request = a.request or '',
    actor = a.actor or '', overtaken = {}, served = {},
  }
  if t then
    for _, name in ipairs({'id', 'place', 'number', 'class', 'vip', 'service', 'state', 'arrival', 'passed', 'ref', 'ref2', 'counter',
      'degraded', 'printed', 'wanted', 'amount', 'currency'}) do e[name] = t[name] end
  end
  for name, value in pairs(more or {}) do e[name] = value end
  redis.call('XADD', outbox, '*', 'e', cjson.encode(e))
  return sequence
end

-- The order

local codes, known = {}, 0
for code, class in ipairs(a.rule and a.rule.classes or {}) do codes[class], known = code, code end

local function code_of(class) return codes[class] or known + 1 end
local function lane_of(t) return t.service .. '|' .. t.class end

local function line_of(t)
  local cap = a.rule.cap
  return branch .. ((cap and t.passed >= cap) and ':capped:' or ':lane:') .. lane_of(t)
end

-- `joined` is the number of the step by which it waits where it waits: instants may be equal.
local function join(t)
  t.state, t.since, t.joined = 'waiting', now, tonumber(field('steps') or 0) + 1
  t.counter, t.called = nil, nil
  redis.call('SADD', lanes, lane_of(t))
  redis.call('ZADD', line_of(t), whole(t.arrival), member(t.place))
  add('waiting', 1)
end

local function leave(t)
  -- Where the cap of the rule is another one than it was, the ticket may stand in the other line.
  for _, kind in ipairs({':lane:', ':capped:'}) do redis.call('ZREM', branch .. kind .. lane_of(t), member(t.place)) end
  add('waiting', -1)
end

local function first(line)
  local found = redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')
  if found[1] and tonumber(found[2]) <= now then return {arrival = tonumber(found[2]), member = found[1]} end
  return nil
end

local function before(one, other)
  for i = 1, 3 do
    if one[i] ~= other[i] then return one[i] < other[i] end
  end
  return false
end

local function rank(class, place)
  local key = 0
  if a.rule.order == 'head_start' then
    key = place.arrival - (a.rule.starts[code_of(class)] or 0)
  elseif a.rule.order ~= 'first_come' then
    key = code_of(class)
  end
  return {key, place.arrival, place.member}
end

local function least(firsts, key)
  local found, least_key
  for _, one in ipairs(firsts) do
    local own = key(one)
    if not found or before(own, least_key) then found, least_key = one, own end
  end
  return found
end

-- Lanes that a counter may call from: {lane, service, class}.
local function may_call(c)
  local found = {}
  local function has(list, name)
    if not list then return true end
    for _, one in ipairs(list) do if one == name then return true end end
    return false
  end
  for _, lane in ipairs(redis.call('SMEMBERS', lanes)) do
    local service, class = string.match(lane, '^(.*)|(.*)$')
    if has(c.services, service) and has(c.classes, class) then
      table.insert(found, {lane = lane, class = class})
    end
  end
  return found
end

local function firsts_of(open, kind)
  local found = {}
  for _, one in ipairs(open) do
    local place = first(branch .. kind .. one.lane)
    if place then table.insert(found, {lane = one.lane, class = one.class, place = place}) end
  end
  return found
end

local function left_of(name)
  local text = redis.call('HGET', rounds, name)
  return text and cjson.decode(text) or nil
end

local function full_round()
  local left = {}
  for code, class in ipairs(a.rule.classes) do left[class] = a.rule.rounds[code] end
  return left
end

-- The next ticket of a counter: the cap first, then the order.
local function choose(open, name)
  local capped = least(firsts_of(open, ':capped:'), function(one) return {one.place.arrival, one.place.member, 0} end)
  if capped then return capped, true end
  local firsts = firsts_of(open, ':lane:')
  if #firsts == 0 then return nil, false end
  if a.rule.order == 'ratio' then
    local left = left_of(name) or full_round()
    local having = {}
    for _, one in ipairs(firsts) do
      if (left[one.class] or 1) > 0 then table.insert(having, one) end
    end
    if #having == 0 then left = full_round() else firsts = having end
    redis.call('HSET', rounds, name, cjson.encode(left))
  end
  return least(firsts, function(one) return rank(one.class, one.place) end), false
end

local function use_round(name, class)
  local left = left_of(name)
  if left and (left[class] or 0) > 0 then
    left[class] = left[class] - 1
    redis.call('HSET', rounds, name, cjson.encode(left))
  end
end

-- Who came before the called ticket and waits on in these lanes has been overtaken once more.
local function overtake(open, t)
  local found = {}
  for _, one in ipairs(open) do
    local line = branch .. ':lane:' .. one.lane
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', line, '-inf', whole(t.arrival))) do
      local waiting = load(tonumber(other))
      if waiting.arrival < t.arrival or other < member(t.place) then
        waiting.passed = waiting.passed + 1
        if waiting.passed == a.rule.cap then
          redis.call('ZREM', line, other)
          redis.call('ZADD', line_of(waiting), whole(waiting.arrival), other)
        end
        save(waiting)
        table.insert(found, waiting.id)
      end
    end
  end
  table.sort(found)
  return found
end

-- References of whoever waits or has asked for cash: who has them, over all branches. A cash request stands there as a place
-- below zero, by its number.

local function mark(t)
  for _, ref in ipairs({t.ref or '', t.ref2 or ''}) do
    if ref ~= '' then
      local held = cjson.decode(redis.call('HGET', references, ref) or '[]')
      table.insert(held, {a.branch, t.place})
      redis.call('HSET', references, ref, cjson.encode(held))
    end
  end
end

local function unmark(t)
  for _, ref in ipairs({t.ref or '', t.ref2 or ''}) do
    local text = ref ~= '' and redis.call('HGET', references, ref)
    if text then
      local kept = {}
      for _, one in ipairs(cjson.decode(text)) do
        if one[1] ~= a.branch or one[2] ~= t.place then table.insert(kept, one) end
      end
      if #kept == 0 then redis.call('HDEL', references, ref) else redis.call('HSET', references, ref, cjson.encode(kept)) end
    end
  end
end

-- Places of tickets, and numbers of cash requests.
local function held_by(ref)
  local places, numbers = {}, {}
  for _, one in ipairs(cjson.decode(redis.call('HGET', references, ref) or '[]')) do
    if one[1] == a.branch and one[2] > 0 then table.insert(places, one[2]) end
    if one[1] == a.branch and one[2] < 0 then table.insert(numbers, -one[2]) end
  end
  return places, numbers
end

local function finish(t, state, action, more)
  if t.state == 'waiting' then leave(t) end
  if t.state == 'called' then
    local c = counter_of(t.counter)
    c.ticket, c.since = nil, now
    keep_counter(t.counter, c)
  end
  t.state, t.ended = state, now
  unmark(t)
  save(t)
  tell(action, t, more)
end

local function expire_all(why, waiting_only)
  local count = 0
  for _, text in ipairs(redis.call('HVALS', tickets)) do
    local t = cjson.decode(text)
    if LIVE[t.state] and (t.state == 'waiting' or not waiting_only) then
      finish(t, 'expired', 'expired', {reason = why})
      count = count + 1
    end
  end
  return count
end

-- The branch's day: numbers and requests are the day's; what waits ends with it, or stays.
local function begin_day()
  local day = field('day')
  if day and a.day <= day then return end
  if day then
    for _, text in ipairs(redis.call('HVALS', tickets)) do
      local t = cjson.decode(text)
      if LIVE[t.state] and not (a.stay and t.state == 'waiting') then finish(t, 'expired', 'expired', {reason = 'day_ended'}) end
    end
    for _, place in ipairs(redis.call('HKEYS', tickets)) do
      if load(tonumber(place)).state ~= 'waiting' then redis.call('HDEL', tickets, place) end
    end
    cash.expire()
    redis.call('DEL', requests, rounds, shown, forecasts)
    for _, name in ipairs(redis.call('HKEYS', branch)) do
      if string.sub(name, 1, 2) == 'n:' then drop(name) end
    end
    drop('closed', 'issued')
  end
  set('day', a.day)
end

-- The steps

local steps = {}

function steps.issue()
  if field('closed') then return nil, 'branch-closed' end
  if tonumber(field('issued') or 0) >= a.tickets_max or tonumber(field('waiting') or 0) >= a.waiting_max then
    return nil, 'branch-full'
  end
  if redis.call('XLEN', outbox) >= a.outbox_max then return nil, 'queue-unavailable' end
  for _, ref in ipairs({a.ref or '', a.ref2 or ''}) do
    for _, place in ipairs(ref ~= '' and held_by(ref) or {}) do
      local t = load(place)
      if t.service == a.service and (t.state == 'waiting' or t.state == 'called') then
        return {ticket = t, again = true}
      end
    end
  end
  local lane = a.service .. '|' .. a.class
  if redis.call('SISMEMBER', lanes, lane) == 0 and redis.call('SCARD', lanes) >= a.lanes_max then return nil, 'too-many-services' end
  local place = add('places', 1)
  add('issued', 1)
  local number = a.number
  if not number then number = a.prefix .. string.format('%03d', add('n:' .. a.prefix, 1)) end
  local arrival = a.printed_at and math.min(a.printed_at, now) or math.max(now, a.booked or 0)
  local t = {
    id = a.branch .. '-' .. whole(place), place = place, number = number, class = a.class, vip = a.vip or false, service = a.service,
    arrival = arrival, issued = now, passed = a.passed or 0, ref = a.ref, ref2 = a.ref2, degraded = a.degraded or false,
    cause = a.cause or 'issued', printed = a.printed_at ~= nil, booked = a.booked,
    floor = a.floor,
  }
  join(t)
  mark(t)
  save(t)
  tell('issued', t, {reason = a.reason or (a.floor and 'open ' .. a.floor) or nil})
  return {ticket = t}
end

function steps.call()
  local name, c = a.counter, counter_of(a.counter)
  -- Nobody waited when this was asked: it calls nobody now either. Kept with the counter, not among the day's requests: counters
  -- ask as often as they like while nobody waits.
  if a.request and c.nobody == a.request then return {} end
  if c.paused then return nil, 'counter-paused' end
  if c.ticket then return nil, 'counter-busy', load(c.ticket) end
  if redis.call('HEXISTS', counters, name) == 0 and redis.call('HLEN', counters) >= a.counters_max then
    return nil, 'too-many-counters'
  end
  local open = may_call(c)
  local chosen, capped = choose(open, name)
  if not chosen then
    if a.request then
      c.nobody = a.request
      keep_counter(name, c)
    end
    return {}
  end
  local t = load(tonumber(chosen.place.member))
  use_round(name, t.class)
  leave(t)
  local overtaken = overtake(open, t)
  t.state, t.counter, t.called = 'called', name, now
  save(t)
  c.ticket, c.since = t.place, now
  keep_counter(name, c)
  local sequence = tell('called', t, {overtaken = overtaken, capped = capped})
  redis.call('LPUSH', shown, cjson.encode({number = t.number, counter = name, sequence = sequence, at = now}))
  redis.call('LTRIM', shown, 0, 19)
  local forecast = redis.call('HGET', forecasts, whole(t.place))
  if forecast then
    redis.call('HDEL', forecasts, whole(t.place))
    if t.cause == 'issued' then
      redis.call('LPUSH', waits, cjson.encode({t.class, tonumber(forecast), math.floor((now - t.issued) / 1000)}))
      redis.call('LTRIM', waits, 0, a.waits_max - 1)
    end
  end
  return {ticket = t, overtaken = overtaken, capped = capped, sequence = sequence}
end

-- The ticket that a counter has, for the steps that are its own.
local function at_counter()
  local t = load(a.place)
  if not t then return nil, 'no-such-ticket' end
  if t.state ~= 'called' or t.counter ~= a.counter then return nil, 'not-at-this-counter' end
  return t
end

local function free(name)
  local c = counter_of(name)
  c.ticket, c.since = nil, now
  keep_counter(name, c)
end

function steps.recall()
  local t, why = at_counter()
  if not t then return nil, why end
  local sequence = tell('recalled', t)
  redis.call('LPUSH', shown, cjson.encode({number = t.number, counter = a.counter, sequence = sequence, at = now}))
  redis.call('LTRIM', shown, 0, 19)
  return {ticket = t, sequence = sequence}
end

function steps.no_show()
  local t, why = at_counter()
  if not t then return nil, why end
  free(a.counter)
  t.state = 'no_show'
  save(t)
  tell('no_show', t)
  return {ticket = t}
end

function steps.back()
  local t = load(a.place)
  if not t then return nil, 'no-such-ticket' end
  if t.state ~= 'no_show' then return nil, 'not-absent' end
  t.arrival, t.passed, t.cause, t.counter = now, 0, 'returned', nil
  join(t)
  save(t)
  tell('returned', t)
  return {ticket = t}
end

function steps.transfer()
  local t, why = at_counter()
  if not t then return nil, why end
  local lane = a.service .. '|' .. t.class
  if redis.call('SISMEMBER', lanes, lane) == 0 and redis.call('SCARD', lanes) >= a.lanes_max then return nil, 'too-many-services' end
  free(a.counter)
  t.service, t.cause = a.service, 'transferred'
  if not a.keep then t.arrival, t.passed = now, 0 end
  join(t)
  save(t)
  tell('transferred', t, {counter = a.counter})
  return {ticket = t}
end

function steps.complete()
  local t, why = at_counter()
  if not t then return nil, why end
  local took = math.floor((now - t.called) / 1000)
  redis.call('HINCRBY', services, t.class .. ':n', 1)
  redis.call('HINCRBY', services, t.class .. ':s', took)
  if tonumber(redis.call('HGET', services, t.class .. ':n')) >= a.services_max then
    for _, end_of in ipairs({':n', ':s'}) do
      local half = math.floor(tonumber(redis.call('HGET', services, t.class .. end_of)) / 2)
      redis.call('HSET', services, t.class .. end_of, whole(half))
    end
  end
  finish(t, 'completed', 'completed', {served = a.served or {}})
  return {ticket = t}
end

function steps.leave()
  local t = load(a.place)
  if not t then return nil, 'no-such-ticket' end
  if t.state ~= 'waiting' and t.state ~= 'no_show' then return nil, 'not-waiting' end
  finish(t, 'left', 'left')
  return {ticket = t}
end

function steps.check()
  local t, why = at_counter()
  if not t then return nil, why end
  local holder = 'unknown'
  if t.ref then
    holder = 'other'
    for _, ref in ipairs(a.refs) do if ref == t.ref or ref == t.ref2 then holder = 'same' end end
  end
  tell('checked', t, {reason = holder})
  return {ticket = t, holder = holder}
end

-- Another class of whoever waits with a reference: the ticket moves at once, its arrival stays. So does a cash request.
function steps.rerank()
  local places, numbers = held_by(a.ref)
  local moved = cash.rerank(numbers)
  for _, place in ipairs(places) do
    local t = load(place)
    -- Who was given an open class, such as elderly, keeps it where the other one is called later.
    local class = (t.floor and code_of(t.floor) < code_of(a.class)) and t.floor or a.class
    if t.class ~= class or t.vip ~= a.vip then
      local waits_on = t.state == 'waiting'
      if waits_on then leave(t) end
      t.class, t.vip, t.degraded = class, a.vip, false
      if waits_on then
        join(t)
        t.cause = 'reranked'
      end
      save(t)
      tell('reranked', t, {reason = a.reason})
      table.insert(moved, t)
    end
  end
  return {moved = moved}
end

function steps.pause()
  local c = counter_of(a.counter)
  c.paused, c.since = true, now
  keep_counter(a.counter, c)
  tell('paused', nil, {counter = a.counter})
  return {counter = a.counter}
end

function steps.resume()
  local c = counter_of(a.counter)
  c.paused, c.since = nil, now
  keep_counter(a.counter, c)
  tell('resumed', nil, {counter = a.counter})
  return {counter = a.counter}
end

-- Which classes and services a counter takes; nil: all.
function steps.equip()
  local c = counter_of(a.counter)
  if redis.call('HEXISTS', counters, a.counter) == 0 and redis.call('HLEN', counters) >= a.counters_max then
    return nil, 'too-many-counters'
  end
  c.classes, c.services = a.classes, a.services
  keep_counter(a.counter, c)
  tell('equipped', nil, {counter = a.counter, reason = cjson.encode({classes = a.classes, services = a.services})})
  return {counter = a.counter}
end

function steps.close()
  local expired = 0
  if not a.stay then expired = expire_all('branch_closed', true) end
  set('closed', a.reason or 'closed')
  tell('closed', nil, {reason = a.reason})
  return {expired = expired}
end

function steps.open()
  drop('closed')
  tell('opened')
  return {open = true}
end

-- The branch as its log has it, where the store has nothing of it.
function steps.restore()
  if tonumber(field('steps') or 0) > 0 then return nil, 'branch-known' end
  set('steps', whole(a.sequence))
  set('places', whole(a.places))
  set('issued', whole(a.issued))
  for prefix, number in pairs(a.numbers) do set('n:' .. prefix, whole(number)) end
  if a.closed then set('closed', a.closed) end
  set('day', a.log_day)  -- the next step ends it, where it is over
  for name, c in pairs(a.counters) do
    c.since = a.last
    keep_counter(name, c)
  end
  now = math.max(now, a.last)
  for name, left in pairs(a.left or {}) do redis.call('HSET', rounds, name, cjson.encode(left)) end
  for _, t in ipairs(a.tickets) do
    if t.state == 'waiting' then
      redis.call('SADD', lanes, lane_of(t))
      redis.call('ZADD', line_of(t), whole(t.arrival), member(t.place))
      add('waiting', 1)
    elseif t.state == 'called' then
      local c = counter_of(t.counter)
      c.ticket, c.since = t.place, t.called
      keep_counter(t.counter, c)
    end
    mark(t)
    save(t)
  end
  cash.restore()
  return {restored = #a.tickets}
end

-- Reading changes nothing, and waits for no sync.

function steps.state()
  local found = {day = field('day') or '', closed = field('closed') or '', now = now, sequence = tonumber(field('steps') or 0),
    tickets = {}, counters = {}, shown = {}}
  for _, line in ipairs(redis.call('SMEMBERS', lanes)) do
    for _, kind in ipairs({':lane:', ':capped:'}) do
      for _, place in ipairs(redis.call('ZRANGE', branch .. kind .. line, 0, -1)) do
        table.insert(found.tickets, load(tonumber(place)))
      end
    end
  end
  local all = redis.call('HGETALL', counters)
  for i = 1, #all, 2 do
    local c = cjson.decode(all[i + 1])
    c.name = all[i]
    local t = c.ticket and load(c.ticket)
    if t then c.at_work = t end
    table.insert(found.counters, c)
  end
  for _, text in ipairs(redis.call('LRANGE', shown, 0, -1)) do table.insert(found.shown, cjson.decode(text)) end
  return found
end

-- What a hall shows.
function steps.board()
  local found = {day = field('day') or '', closed = field('closed') or '', sequence = tonumber(field('steps') or 0), shown = {}}
  for _, text in ipairs(redis.call('LRANGE', shown, 0, -1)) do table.insert(found.shown, cjson.decode(text)) end
  return found
end

-- All that are not at their end, to compare them with the log.
function steps.live()
  local found = {sequence = tonumber(field('steps') or 0), tickets = {}, cash = cash.open()}
  for _, text in ipairs(redis.call('HVALS', tickets)) do
    local t = cjson.decode(text)
    if LIVE[t.state] then table.insert(found.tickets, t) end
  end
  return found
end

function steps.ticket()
  local t = load(a.place)
  if not t then return nil, 'no-such-ticket' end
  return {ticket = t}
end
