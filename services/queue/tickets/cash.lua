-- Cash that wants notice: it follows steps.lua. The needs of higher classes are met first (R-087): class after class, as the
-- pack lists them, then by the time of asking. What is open is kept over the days, until its own day has passed.
-- Amounts are texts throughout: money has 63 bits, a number of Lua 53.
local asked = branch .. ':cash'

local function marked(c) return {ref = c.ref, ref2 = c.ref2, place = -tonumber(c.number)} end
local function keep_cash(c) redis.call('HSET', asked, c.number, cjson.encode(c)) end

local function cash_at(number)
  local text = number and redis.call('HGET', asked, whole(number))
  return text and cjson.decode(text) or nil
end

local function end_cash(c, state, reason)
  redis.call('HDEL', asked, c.number)
  unmark(marked(c))
  c.state = state
  tell('cash_' .. state, c, {reason = reason})
end

-- The open requests of a branch: in no order, or those of a day in the order in which they are met.
function cash.open()
  local found = {}
  for _, text in ipairs(redis.call('HVALS', asked)) do table.insert(found, cjson.decode(text)) end
  return found
end

local function cash_rank(c) return {code_of(c.class), c.arrival, tonumber(c.number)} end

local function in_order(wanted)
  local found, ranks = {}, {}
  for _, c in ipairs(cash.open()) do
    if c.wanted == wanted then
      table.insert(found, c)
      ranks[c] = cash_rank(c)
    end
  end
  table.sort(found, function(one, other) return before(ranks[one], ranks[other]) end)
  return found
end

-- How many open requests of the same day and currency are met before this one, and how many of them are of a higher class.
local function ahead_of(c)
  local ahead, higher, own = 0, 0, cash_rank(c)
  for _, other in ipairs(cash.open()) do
    if other.wanted == c.wanted and other.currency == c.currency then
      if before(cash_rank(other), own) then ahead = ahead + 1 end
      if code_of(other.class) < own[1] then higher = higher + 1 end
    end
  end
  return ahead, higher
end

-- Parts of steps of tickets

function cash.expire()
  for _, c in ipairs(cash.open()) do
    if c.wanted < a.day then end_cash(c, 'expired', 'day_ended') end
  end
end

function cash.rerank(numbers)
  local moved = {}
  for _, number in ipairs(numbers) do
    local c = cash_at(number)
    if c and (c.class ~= a.class or c.degraded) then
      c.class, c.degraded = a.class, false
      keep_cash(c)
      tell('cash_reranked', c, {reason = a.reason})
      table.insert(moved, c)
    end
  end
  return moved
end

function cash.restore()
  if (a.cash_numbers or 0) > 0 then set('cash', whole(a.cash_numbers)) end
  for _, c in ipairs(a.cash or {}) do
    keep_cash(c)
    mark(marked(c))
  end
end

-- Steps of their own

function steps.cash_ask()
  if a.wanted < field('day') or a.wanted > a.last_day then return nil, 'not-a-coming-day' end
  if redis.call('HLEN', asked) >= a.cash_max then return nil, 'too-many-cash-requests' end
  if redis.call('XLEN', outbox) >= a.outbox_max then return nil, 'queue-unavailable' end
  local number = whole(add('cash', 1))
  local c = {
    id = a.branch .. '-cash-' .. number, number = number, class = a.class, degraded = a.degraded or false, service = 'cash',
    state = 'open', arrival = now, wanted = a.wanted, amount = a.amount, currency = a.currency, ref = a.ref, ref2 = a.ref2,
  }
  keep_cash(c)
  mark(marked(c))
  tell('cash_asked', c)
  return {cash = c, ahead = ahead_of(c)}
end

-- Cash is set aside. While somebody of a higher class waits for the same day and currency, for a reason that is on record alone.
function steps.cash_meet()
  local c = cash_at(a.number)
  if not c then return nil, 'no-such-cash-request' end
  local _, higher = ahead_of(c)
  if higher > 0 and not a.reason then return nil, 'higher-class-waits' end
  end_cash(c, 'met', higher > 0 and a.reason or nil)
  return {cash = c}
end

function steps.cash_refuse()
  local c = cash_at(a.number)
  if not c then return nil, 'no-such-cash-request' end
  end_cash(c, 'refused', a.reason)
  return {cash = c}
end

function steps.cash_withdraw()
  local c = cash_at(a.number)
  if not c then return nil, 'no-such-cash-request' end
  end_cash(c, 'withdrawn')
  return {cash = c}
end

-- The class of a request that came while it could not be known, unless it has become known meanwhile.
function steps.cash_known()
  local c = cash_at(a.number)
  return {moved = (c and c.degraded) and cash.rerank({a.number}) or {}}
end

-- Reading

-- Which of the requests that one competes with came while their class could not be known.
function steps.cash_unsure()
  local found, c = {requests = {}}, cash_at(a.number)
  for _, other in ipairs(c and in_order(c.wanted) or {}) do
    local unsure = other.currency == c.currency and other.degraded and other.ref
    if unsure and #found.requests < a.limit then table.insert(found.requests, other) end
  end
  return found
end

-- What is open for a day, a page of it, in the order in which it is met. A day that has passed has nothing any more.
function steps.cash_day()
  local found = {total = 0, requests = {}}
  local places = {}
  for place, c in ipairs(a.wanted < a.day and {} or in_order(a.wanted)) do
    places[c.currency] = (places[c.currency] or 0) + 1
    c.position = places[c.currency]
    if place > a.skip and #found.requests < a.limit then table.insert(found.requests, c) end
    found.total = place
  end
  return found
end
