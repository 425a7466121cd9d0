"""Fakes of the services' ports, in memory; each passes the contract suite of the real part."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from services.notices.notifier import DeliveryError, Notice
from services.views.keys import Keys
from services.views.projections import TopicRecord
from services.views.store import Chunk, Drop, IndexEntry, LeaseLostError, Leave, Put, Reached
from services.views.writer import Fetched


class MemoryViewStore:
    """A view in dictionaries."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.holder: str | None = None
        self.offsets: dict[str, int] = {}
        self.about: dict[str, str] = {}
        self.rows: dict[str, dict[str, Any]] = {}
        self.lists: dict[str, dict[str, int]] = {}
        self.fresh: set[str] = set()
        self.needed: set[str] = set()

    def take(self, token: str, *, force: bool = False) -> bool:
        if self.holder is None or force:
            self.holder = token
        return self.holder == token

    def release(self, token: str) -> None:
        if self.holder == token:
            self.holder = None

    def positions(self) -> dict[str, int]:
        return dict(self.offsets)

    def meta(self) -> dict[str, str]:
        return dict(self.about)

    def lacking(self, sources: Sequence[str]) -> dict[str, set[str]]:
        return {source: set(self.lists.get(self.keys.lacking(source), ())) for source in sources}

    def begin(self, meta: dict[str, str], sources: Sequence[str]) -> None:
        self.about.update(meta)
        self.needed.update(sources)

    def apply(self, token: str, chunks: Sequence[Chunk]) -> list[bool]:
        self._check(token)
        return [self._apply(chunk) for chunk in chunks]

    def mark_fresh(self, token: str, reached: Mapping[str, Reached]) -> bool:
        self._check(token)
        for source, (at, _) in reached.items():
            if self.offsets.get(source) != at or source not in self.needed:
                return False
            self.fresh.add(source)
        return True

    def wipe(self, token: str, progress: Callable[[int], None] = lambda _: None) -> int:
        self._check(token)
        gone = len(self.rows) + len(self.lists)
        for part in (self.offsets, self.about, self.rows, self.lists, self.fresh, self.needed):
            part.clear()
        progress(gone)
        return gone

    def dump(self) -> dict[str, Any]:
        """Every row and list, for comparison."""
        return {**self.rows, **self.lists}

    def _check(self, token: str) -> None:
        if self.holder not in (None, token):
            raise LeaseLostError("held")
        self.holder = token

    def _apply(self, chunk: Chunk) -> bool:
        if self.offsets.get(chunk.source) != chunk.start:
            return False
        for op in chunk.ops:
            match op:
                case Put(key, version, fields):
                    if self.rows.get(key, {"version": -1})["version"] <= version:
                        self.rows[key] = {**self.rows.get(key, {}), "version": version, **fields}
                case Drop(key):
                    self.rows.pop(key, None)
                case Leave(key, member):
                    self.lists.get(key, {}).pop(member, None)
                case IndexEntry(key, score, member, keep_max, owned):
                    self._index(self.lists.setdefault(key, {}), score, member, keep_max, owned)
        self.offsets[chunk.source] = chunk.stop
        return True

    def _index(self, members: dict[str, int], score: int, member: str, keep_max: int, owned: str) -> None:
        members[member] = score
        surplus = len(members) - keep_max
        if surplus <= 0:
            return
        for name in sorted(members, key=lambda name: (members[name], name.encode()))[:surplus]:
            del members[name]
            if owned:
                self.rows.pop(owned + name, None)


class MemorySource:
    """A log in lists: `topic:partition` → records, offsets rising, gaps allowed; `batch` records a fetch."""

    def __init__(self, logs: dict[str, list[TopicRecord]], batch: int = 3) -> None:
        self.logs, self.batch = logs, batch
        self.at: dict[str, int] = {}
        self.topic_ids = {name.partition(":")[0]: "id-1" for name in logs}
        self.cluster_id = "cluster-1"

    def world(self) -> dict[str, str]:
        return {"cluster": self.cluster_id} | self.topic_ids

    def pick(self, name: str, offsets: Sequence[int]) -> Iterator[list[TopicRecord]]:
        for record in self.logs[name]:
            if record.offset in offsets:
                yield [record]

    def begin(self, positions: dict[str, int | None]) -> None:
        self.at = {name: positions.get(name) or 0 for name in self.logs}

    def fetch(self, timeout_s: float) -> dict[str, Fetched]:
        fetched = {}
        for name, log in self.logs.items():
            part = [record for record in log if record.offset >= self.at[name]][: self.batch]
            if part:
                self.at[name] = part[-1].offset + 1
            at_end = not any(record.offset >= self.at[name] for record in log)
            fetched[name] = Fetched(part, self._end(name) if at_end else self.at[name], at_end)
        return fetched

    def ends(self) -> dict[str, tuple[int, int]]:
        return {name: (0, self._end(name)) for name in self.logs}

    def fresh_ends(self) -> dict[str, int] | None:
        return {name: self._end(name) for name in self.logs}

    def _end(self, name: str) -> int:
        log = self.logs[name]
        return log[-1].offset + 2 if log else 0  # one more than the last: a transaction's marker is never handed out


class MemoryRejects:
    """Dead letters in a list."""

    def __init__(self) -> None:
        self.letters: list[tuple[TopicRecord, str, str]] = []

    def reject(self, record: TopicRecord, reason: str, detail: str) -> None:
        self.letters.append((record, reason, detail))

    def flush(self) -> None:
        pass


class MemoryChannel:
    """Keeps what is sent; with `broken` it delivers nothing."""

    name = "memory"

    def __init__(self) -> None:
        self.sent: list[Notice] = []
        self.broken = self.final = False

    async def send(self, notice: Notice) -> int:
        if self.broken:
            raise DeliveryError("broken", 3, final=self.final)
        self.sent.append(notice)
        return 1


class MemoryTold:
    """Ids in a set."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.sent: set[str] = set()

    async def stands(self, notice_id: str) -> bool:
        return notice_id in self.ids

    async def sent_any(self, notice_ids: Collection[str]) -> bool | None:
        return not self.sent.isdisjoint(notice_ids) if not self.ids.isdisjoint(notice_ids) else None

    def add(self, notice_id: str, *, sent: bool = True) -> None:
        self.ids.add(notice_id)
        if sent:
            self.sent.add(notice_id)


class MemoryLedger:
    """Ids in a set."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.waiting: dict[str, str] = {}
        self.gone: dict[str, str] = {}

    async def seen(self, notice_id: str) -> bool:
        return notice_id in self.ids

    async def mark(self, notice_id: str) -> None:
        self.ids.add(notice_id)
        self.waiting.pop(notice_id, None)

    async def drop(self, notice_id: str) -> None:
        self.waiting.pop(notice_id, None)

    async def wait_for(self, notice_id: str, why: str) -> None:
        self.waiting[notice_id] = why

    async def given_up(self, notice_id: str) -> str | None:
        return self.gone.get(notice_id)
