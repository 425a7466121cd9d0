"""The view's store: rows and Kafka offsets change together or not at all.

`ViewStore` is the port; `RedisViewStore` the real part; the fake in the tests passes the same contract suite.
One Lua call applies one chunk of one partition: it checks the writer's lease and the partition's next offset, applies
the rows, counts them (how many, and the sum of their versions), and moves the offset. A chunk that was applied before, a
writer that has been replaced, and a store that went back in time are thereby noticed, never applied twice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from redis.exceptions import NoScriptError

from services.views.keys import Keys, as_bytes

if TYPE_CHECKING:
    from redis import Redis

LEASE_MS: Final = 10_000
"""A writer that shows no life for so long may be replaced."""

WIPE_KEYS: Final = 5_000
"""Keys looked at in one step of a wipe: some milliseconds of the server's time."""


class Put(NamedTuple):
    """Write the fields of a row, unless the store has a higher version of it."""

    key: str
    version: int
    fields: dict[str, str | bytes]


class Drop(NamedTuple):
    """Delete a row."""

    key: str


class IndexEntry(NamedTuple):
    """Enter `member` into the sorted set `key`; the lowest scores leave beyond `keep_max`.

    `owned`: prefix of the rows that are deleted with the members that leave; empty = none.
    """

    key: str
    score: int
    member: str
    keep_max: int
    owned: str = ""


class Leave(NamedTuple):
    """Take `member` out of the sorted set `key`."""

    key: str
    member: str


Op = Put | Drop | IndexEntry | Leave


class PackedOps(Protocol):
    """Operations as columns (services.views.rows)."""

    def __iter__(self) -> Iterator[Op]:
        """One by one."""

    def arguments(self) -> tuple[int, bytes]:
        """The script's arguments in the Redis protocol: how many, and their bytes."""


class Chunk(NamedTuple):
    """Operations of one partition's records in offsets [start, stop). `start` None: from the log's beginning."""

    source: str  # topic:partition
    start: int | None
    stop: int
    ops: Sequence[Op] | PackedOps


Reached = tuple[int | None, int]
"""A partition's next offset, and how long ago the brokers said that there was nothing beyond it, ms."""


class LeaseLostError(Exception):
    """Another writer holds the lease."""


class ViewStore(Protocol):
    """What the view writer needs of a store."""

    def take(self, token: str, *, force: bool = False) -> bool:
        """Become the one writer; False while another is alive. `force` replaces it."""

    def release(self, token: str) -> None:
        """Give the lease back, if it is `token`'s."""

    def positions(self) -> dict[str, int]:
        """Next offset of every partition that has been applied to."""

    def meta(self) -> dict[str, str]:
        """What the view was built from."""

    def lacking(self, sources: Sequence[str]) -> dict[str, set[str]]:
        """Of each partition the keys that the view lacks."""

    def begin(self, meta: dict[str, str], sources: Sequence[str]) -> None:
        """Say what the view is built from, and which partitions it needs to be complete."""

    def apply(self, token: str, chunks: Sequence[Chunk]) -> list[bool]:
        """Apply each chunk atomically; False for one whose start is not the store's position. Raises LeaseLostError."""

    def mark_fresh(self, token: str, reached: Mapping[str, Reached]) -> bool:
        """Say that all which Kafka held of these partitions is in the view; False if one stands elsewhere or was not begun.

        An idle partition has no chunks that would show that the store lost its rows: this does. Raises LeaseLostError.
        """

    def wipe(self, token: str, progress: Callable[[int], None] = lambda _: None) -> int:
        """Delete offsets first, then every row; returns the rows deleted. Raises LeaseLostError."""


# Versions are compared as (length, text): exact beyond 2**53, where Lua's numbers end. Of a version the last nine
# digits are summed, so that sums stay exact too.
APPLY_OPS: Final = """
local rows, sum = 0, 0
local function part(version) return tonumber(string.sub(version, -9)) end
local function drop(key)
  local held = redis.pcall('HGET', key, 'version')
  if redis.call('DEL', key) == 1 and type(held) == 'string' then rows, sum = rows - 1, sum - part(held) end
end
local i, n = 6, #ARGV
while i <= n do
  local op, key = ARGV[i], ARGV[i + 1]
  if op == 'P' then
    local version, last = ARGV[i + 3], i + 2 + ARGV[i + 2]
    local held = redis.call('HGET', key, 'version')
    if not held or #held < #version or (#held == #version and held <= version) then
      redis.call('HSET', key, 'version', unpack(ARGV, i + 3, last))
      if held then sum = sum - part(held) else rows = rows + 1 end
      sum = sum + part(version)
    end
    i = last + 1
  elseif op == 'D' then
    drop(key)
    i = i + 2
  elseif op == 'L' then
    redis.call('ZREM', key, ARGV[i + 2])
    i = i + 3
  else
    redis.call('ZADD', key, ARGV[i + 2], ARGV[i + 3])
    local surplus = redis.call('ZCARD', key) - ARGV[i + 4]
    if surplus > 0 then
      local out = redis.call('ZPOPMIN', key, surplus)
      if ARGV[i + 5] ~= '' then
        for k = 1, #out, 2 do drop(ARGV[i + 5] .. out[k]) end
      end
    end
    i = i + 6
  end
end
"""

APPLY: Final = f"""
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 'held' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if (redis.call('HGET', KEYS[2], ARGV[3]) or '') ~= ARGV[4] then return 'moved' end
{APPLY_OPS}
redis.call('HSET', KEYS[2], ARGV[3], ARGV[5])
if rows ~= 0 then redis.call('HINCRBY', KEYS[3], ARGV[3] .. ':rows', rows) end
if sum ~= 0 then redis.call('HINCRBY', KEYS[3], ARGV[3] .. ':sum', sum) end
return 'done'
"""

FRESH: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 'held' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
for i = 3, #ARGV, 3 do
  local fresh = KEYS[3 + (i - 3) / 3]
  if (redis.call('HGET', KEYS[2], ARGV[i]) or '') ~= ARGV[i + 1] then return 'moved' end
  if redis.call('HEXISTS', fresh, ARGV[i]) == 0 then return 'moved' end
  redis.call('HSET', fresh, ARGV[i], string.format('%.0f', ms - ARGV[i + 2]))
end
return 'done'
"""

RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisViewStore:
    """The view in a Redis-protocol server: one primary, no cluster (a chunk touches keys of many slots)."""

    def __init__(self, client: "Redis", keys: Keys) -> None:
        self.client, self.keys = client, keys
        self._apply = client.register_script(APPLY)
        self._fresh = client.register_script(FRESH)
        self._release = client.register_script(RELEASE)

    def take(self, token: str, *, force: bool = False) -> bool:
        """Become the one writer; False while another is alive. `force` replaces it."""
        if self.client.set(self.keys.writer, token, px=LEASE_MS, nx=not force):
            return True
        return self.client.get(self.keys.writer) == token.encode()

    def release(self, token: str) -> None:
        """Give the lease back, if it is `token`'s."""
        self._release(keys=[self.keys.writer], args=[token])

    def positions(self) -> dict[str, int]:
        """Next offset of every partition that has been applied to."""
        return {
            as_bytes(source).decode(): int(offset) for source, offset in self.client.hgetall(self.keys.next).items()
        }

    def meta(self) -> dict[str, str]:
        """What the view was built from."""
        return {
            as_bytes(name).decode(): as_bytes(value).decode()
            for name, value in self.client.hgetall(self.keys.meta).items()
        }

    def lacking(self, sources: Sequence[str]) -> dict[str, set[str]]:
        """Of each partition the keys that the view lacks."""
        with self.client.pipeline(transaction=False) as pipeline:
            for source in sources:
                pipeline.zrange(self.keys.lacking(source), 0, -1)
            found = pipeline.execute()
        return {source: {as_bytes(key).decode() for key in keys} for source, keys in zip(sources, found, strict=True)}

    def begin(self, meta: dict[str, str], sources: Sequence[str]) -> None:
        """Say what the view is built from; partitions not marked fresh yet are entered as never complete."""
        with self.client.pipeline(transaction=False) as pipeline:
            for name, value in meta.items():
                pipeline.hset(self.keys.meta, name, value)
            for source in sources:
                pipeline.hsetnx(self.keys.fresh(topic_of(source)), source, 0)
            pipeline.execute()

    def apply(self, token: str, chunks: Sequence[Chunk]) -> list[bool]:
        """Apply each chunk atomically, all in one round trip; False for one whose start is not the store's position."""
        try:
            answers = self._send([self._call(token, chunk) for chunk in chunks])
        except NoScriptError:  # a server that was started anew
            self.client.script_load(APPLY)
            answers = self._send([self._call(token, chunk) for chunk in chunks])
        return [answer == b"done" for answer in _unheld(answers)]

    def _call(self, token: str, chunk: Chunk) -> bytes:
        """The command of a chunk as it goes over the wire."""
        ops = chunk.ops
        head: list[str | int] = ["EVALSHA", self._apply.sha, 3, self.keys.writer, self.keys.next, self.keys.holds]
        head += [token, LEASE_MS, chunk.source, _at(chunk.start), chunk.stop]
        count, body = _framed(flat_ops(ops)) if isinstance(ops, Sequence) else ops.arguments()
        framed, bulk = _framed(head)
        return b"*%d\r\n" % (framed + count) + bulk + body

    def _send(self, calls: list[bytes]) -> list[bytes]:
        """Commands as they are, and their answers; a connection that failed between them is not used again."""
        pool = self.client.connection_pool
        connection = pool.get_connection()
        try:
            connection.send_packed_command(calls)
            return [connection.read_response() for _ in calls]
        except BaseException:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    def mark_fresh(self, token: str, reached: Mapping[str, Reached]) -> bool:
        """Say that all which Kafka held of these partitions is in the view; False if one stands elsewhere."""
        args: list[str | int] = [token, LEASE_MS]
        for source, (at, age_ms) in reached.items():
            args += [source, _at(at), age_ms]
        keys = [self.keys.writer, self.keys.next, *(self.keys.fresh(topic_of(source)) for source in reached)]
        return _unheld([self._fresh(keys=keys, args=args)]) == [b"done"]

    def wipe(self, token: str, progress: Callable[[int], None] = lambda _: None) -> int:
        """Delete offsets first, so that a wipe which is cut short ends in a rebuild, then every row."""
        self.mark_fresh(token, {})
        self.client.delete(self.keys.next, self.keys.meta, self.keys.holds)
        gone = 0
        for pattern in self.keys.rows:
            cursor = -1
            while cursor:
                cursor, found = self.client.scan(max(cursor, 0), match=pattern, count=WIPE_KEYS)
                gone += self.client.unlink(*found) if found else 0
                self.mark_fresh(token, {})
                progress(gone)
        return gone


def topic_of(source: str) -> str:
    """The topic of `topic:partition`."""
    return source.rpartition(":")[0]


def _at(start: int | None) -> str | int:
    return "" if start is None else start


def _unheld(answers: list[bytes]) -> list[bytes]:
    if b"held" in answers:
        raise LeaseLostError("another writer has taken over the view")
    return answers


def _framed(args: Sequence[str | bytes | int]) -> tuple[int, bytes]:
    """Arguments as bulk strings of the Redis protocol: how many, and their bytes."""
    parts = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
    return len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


def flat_ops(ops: Sequence[Op]) -> list[str | bytes | int]:
    """Operations as the script's arguments."""
    args: list[str | bytes | int] = []
    for op in ops:
        if type(op) is Put:
            args += ("P", op.key, 2 * len(op.fields) + 1, op.version)
            for field in op.fields.items():
                args += field
        elif type(op) is Drop:
            args += ("D", op.key)
        elif type(op) is IndexEntry:
            args += ("Z", op.key, op.score, op.member, op.keep_max, op.owned)
        elif type(op) is Leave:
            args += ("L", op.key, op.member)
    return args
