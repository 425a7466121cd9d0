"""The store's side of a sweep: its rows compared where they are, mended, counted, and what the server may do to them.

Each call is one script, so what it says is of one moment. `upto` is the offset below which the caller knows the log: a
store that stands beyond it has rows that the caller can't judge yet.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from services.views.keys import NAME_DIGEST_CHARS, Keys, as_bytes
from services.views.store import APPLY_OPS, LEASE_MS, LeaseLostError, Op, flat_ops
from services.views.sweep.given import ROW_DIGEST_CHARS, ROW_GONE, GivenRow

if TYPE_CHECKING:
    from redis import Redis

_HELD: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {'held'} end
"""
_KNOWN: Final = f"""
{_HELD}
local at = tonumber(redis.call('HGET', KEYS[2], ARGV[3]) or '')
if not at or at > tonumber(ARGV[4]) then return {{'elsewhere'}} end
"""

# ARGV[5]: prefix of the rows' keys. Then, each behind its number: names of fields, lists (place of the field that its
# key ends in the digest of, what it begins with, members it may have), rows (key, offset, digest).
_CHECK: Final = f"""
{_KNOWN}
local prefix, names, lists = ARGV[5], {{}}, {{}}
local i = 7 + ARGV[6]
for k = 7, i - 1 do names[#names + 1] = ARGV[k] end
for k = i + 1, i + 3 * ARGV[i], 3 do lists[#lists + 1] = {{tonumber(ARGV[k]), ARGV[k + 1], tonumber(ARGV[k + 2])}} end
local function listed(key, row)
  for _, list in ipairs(lists) do
    local name = row[list[1]]
    local members = list[2] .. string.sub(redis.sha1hex(name), 1, {NAME_DIGEST_CHARS})
    if name ~= '' and not redis.call('ZSCORE', members, key) then
      if redis.call('ZCARD', members) < list[3] then return false end
    end
  end
  return true
end
local function digest(key)
  local row = redis.pcall('HMGET', prefix .. key, unpack(names))
  if row.err then return '' end
  if not row[1] and redis.call('EXISTS', prefix .. key) == 0 then return '{ROW_GONE.decode()}' end
  for f = 1, #names do if not row[f] then return '' end end
  return listed(key, row) and string.sub(redis.sha1hex(table.concat(row, '\\0')), 1, {ROW_DIGEST_CHARS}) or ''
end
local bad = {{'done'}}
for k = i + 3 * ARGV[i] + 1, #ARGV, 3 do
  if tonumber(ARGV[k + 1]) < at and digest(ARGV[k]) ~= ARGV[k + 2] then bad[#bad + 1] = ARGV[k] end
end
return bad
"""

_MEND: Final = f"""
{_KNOWN}
{APPLY_OPS}
return {{'done'}}
"""

_COUNT: Final = f"""
{_KNOWN}
if at < tonumber(ARGV[5]) then return {{'elsewhere'}} end
local names = {{ARGV[3] .. ':rows', ARGV[3] .. ':sum'}}
if #ARGV > 5 then redis.call('HSET', KEYS[3], names[1], ARGV[6], names[2], ARGV[7]) end
local held = redis.call('HMGET', KEYS[3], names[1], names[2])
return {{'done', held[1] or '0', held[2] or '0'}}
"""

# Where the hash is not there the view was never begun, or is being wiped: nothing is said of it.
_MARK: Final = f"""
{_HELD}
local now = redis.call('TIME')
local ms = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('HSET', KEYS[i], 'rows', ARGV[i] == '1' and ms or '0') end
end
return {{'done', ms}}
"""


class Listed(NamedTuple):
    """A list that a row must stand in: the field that names it, how its key begins, the members it has at most."""

    field: str
    prefix: str
    members_max: int


class ServerMemory(NamedTuple):
    """What the server may do to rows, and has done since it was started (`run`)."""

    run: str
    policy: str
    evicted: int


class RowGuard:
    """A Redis-protocol server as the sweep needs it. Every call raises LeaseLostError where another writer holds it."""

    def __init__(self, client: "Redis", keys: Keys, token: str) -> None:
        self.client, self.keys, self.token = client, keys, token
        self._check, self._mend, self._count, self._mark = (
            client.register_script(script) for script in (_CHECK, _MEND, _COUNT, _MARK)
        )

    def check(
        self,
        source: str,
        upto: int,
        prefix: str,
        fields: Sequence[str],
        lists: Sequence[Listed],
        rows: Sequence[GivenRow],
    ) -> list[bytes] | None:
        """Keys of the rows that are not what they should be; None where the store stands beyond `upto`, or nowhere.

        Rows that the store has not come to yet are good.
        """
        names = ("version", *fields)
        args: list[Any] = [source, upto, prefix, len(names), *names, len(lists)]
        for one in lists:
            args += (names.index(one.field) + 1, one.prefix, one.members_max)
        for row in rows:
            args += (row.key, row.offset, row.digest)
        return self._said(self._check, args)

    def mend(self, source: str, upto: int, ops: Sequence[Op]) -> bool:
        """Apply operations to rows that are not what they should be; False as `check`. The counts stay."""
        return self._said(self._mend, [source, upto, "", *flat_ops(ops)]) is not None

    def count(self, source: str, upto: int, end: int) -> tuple[int, int] | None:
        """Rows, and the sum of their versions, as the writer counted them; None as `check`.

        Also None where the writer has not come to `end`, the place behind the last record.
        """
        said = self._said(self._count, [source, upto, end])
        return None if said is None else (int(said[0]), int(said[1]))

    def recount(self, source: str, upto: int, end: int, totals: tuple[int, int]) -> None:
        """Put these counts in the place of the writer's, where `count` has an answer."""
        self._said(self._count, [source, upto, end, *totals])

    def mark(self, whole: Mapping[str, bool]) -> int:
        """Say of topics whether their rows are all there; the server's clock, ms."""
        keys = [self.keys.writer, *(self.keys.fresh(topic) for topic in whole)]
        said = _unheld(self._mark(keys=keys, args=[self.token, *("1" if good else "0" for good in whole.values())]))
        return int(as_bytes(said[1]))

    def marked(self, topics: Sequence[str]) -> dict[str, bool]:
        """What was said last of topics; true where nothing was."""
        return {topic: self.client.hget(self.keys.fresh(topic), "rows") != b"0" for topic in topics}

    def built_from(self) -> dict[str, str]:
        """What the view was built from."""
        return _texts(self.client.hgetall(self.keys.meta))

    def server(self) -> ServerMemory:
        """What INFO says; CONFIG is forbidden on managed servers."""
        found = self.client.info()
        return ServerMemory(str(found.get("run_id", "")), str(found["maxmemory_policy"]), int(found["evicted_keys"]))

    def note(self, found: Mapping[str, str | int]) -> None:
        """Leave what a sweep found for whoever asks."""
        self.client.hset(self.keys.sweep, mapping={name: str(value) for name, value in found.items()})

    def noted(self) -> dict[str, str]:
        """What was left last."""
        return _texts(self.client.hgetall(self.keys.sweep))

    def _said(self, script: Any, args: list[Any]) -> list[bytes] | None:
        """A script's answer behind its word; None for `elsewhere`."""
        keys = [self.keys.writer, self.keys.next, self.keys.holds]
        said = _unheld(script(keys=keys, args=[self.token, LEASE_MS, *args]))
        return None if said[0] == b"elsewhere" else said[1:]


def _unheld(said: list[bytes]) -> list[bytes]:
    if said[0] == b"held":
        raise LeaseLostError("another writer has taken over the view")
    return said


def _texts(found: Mapping[Any, Any]) -> dict[str, str]:
    return {as_bytes(name).decode(): as_bytes(text).decode() for name, text in found.items()}
