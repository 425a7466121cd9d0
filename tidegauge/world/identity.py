"""What makes a log one world, as values: the identity, the records that carry it, and how two of them differ. No I/O.

Processes with different settings on one log would each be right by their own and wrong together. So what decides is
written down once, and every process compares itself with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, NamedTuple

from agents.standing.publish.versions import EPOCHS
from streams.closing import Run

# Kinds of records.
CREATED, EXTENDED, REBUILT, ADOPTED, TAKEN_OVER = "created", "extended", "rebuilt", "adopted", "taken_over"
CUT_OFF: Final = "24:00"  # business days end at local midnight
TOPICS_MAX, PACKS_MAX, LIMITS_MAX, LEFT_OUT_MAX = 256, 16, 64, 64  # of one record


class TopicMark(NamedTuple):
    """A topic of ours. topic_id None: the brokers give none."""

    name: str
    topic_id: str | None
    partitions: int


class PackMark(NamedTuple):
    """A pack that workers begin with; `digest` tells two texts of one version apart."""

    pack_id: str
    version: int
    digest: str


class LimitMark(NamedTuple):
    """A limit of the program on which decisions depend."""

    name: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A log's identity, or what a process has of it: None is what the process doesn't use and so can't have wrong."""

    cluster_id: str
    topic_prefix: str
    topics: tuple[TopicMark, ...]
    base_currency: str | None = None
    zone: str | None = None
    cut_off: str | None = None
    limits: tuple[LimitMark, ...] | None = None
    group: str | None = None
    packs: tuple[PackMark, ...] | None = None
    reference_key: str | None = None
    alert_key: str | None = None

    def whole(self) -> bool:
        """Whether nothing is left out, so that it can be a log's."""
        return None not in tuple(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True)
class WorldEntry:
    """A record of `world`. `at`: ms since the epoch of computers, by the writer's clock."""

    event_id: str
    follows: str | None
    kind: str
    epoch: int
    identity: Identity
    reason: str | None
    written_by: str
    at: int
    closes_left_out: tuple[Run, ...] = ()  # that no worker counts

    def record(self) -> dict[str, Any]:
        """As the contract has it."""
        own: dict[str, Any] = {name: getattr(self, name) for name in _HEAD}
        own["closes_left_out"] = [run._asdict() for run in self.closes_left_out]
        parts = {field.name: getattr(self.identity, field.name) for field in fields(Identity)}
        return own | {name: [v._asdict() for v in value] if name in _LISTS else value for name, value in parts.items()}


_HEAD: Final = tuple(f.name for f in fields(WorldEntry) if f.name not in ("identity", "closes_left_out"))
_LISTS: Final[dict[str, Callable[..., NamedTuple]]] = {"topics": TopicMark, "packs": PackMark, "limits": LimitMark}


def world_entry(record: dict[str, Any]) -> WorldEntry:
    """The entry in a decoded record. ValueError where a list or the epoch is beyond its bound."""
    if any(len(record[name]) > most for name, most in zip(_LISTS, (TOPICS_MAX, PACKS_MAX, LIMITS_MAX), strict=True)):
        raise ValueError("a list of the identity is too long")
    if len(record["closes_left_out"]) > LEFT_OUT_MAX:
        raise ValueError("too many closes are left out")
    if not 0 <= record["epoch"] < EPOCHS:
        raise ValueError(f"epoch {record['epoch']} is none")
    parts = {field.name: record[field.name] for field in fields(Identity)}
    for name, kind in _LISTS.items():
        parts[name] = tuple(kind(**item) for item in record[name])
    left_out = tuple(Run(**run) for run in record["closes_left_out"])
    return WorldEntry(**{name: record[name] for name in _HEAD}, identity=Identity(**parts), closes_left_out=left_out)


def entry_in_force(entries: Iterable[WorldEntry]) -> WorldEntry | None:
    """The entry that counts, of all in the order of their offsets; None where there is no identity yet.

    Of several that would begin it the first one counts. A later one counts if it follows the one that is in force when it
    comes: of two changes at once the second is lost, and whoever wrote it finds that out by reading.
    """
    now: WorldEntry | None = None
    for entry in entries:
        if entry.follows == (None if now is None else now.event_id):
            now = entry
    return now


class Difference(NamedTuple):
    """What does not fit: expected is the log's, found is this process's. of_setting: mended by a setting, not by a server."""

    what: str
    expected: str
    found: str
    remedy: str
    of_setting: bool

    def __str__(self) -> str:
        return f"{self.what}: the log's identity says {self.expected}, found {self.found}"


_OTHER_LOG: Final = (
    "point TIDEGAUGE_BOOTSTRAP_SERVERS at the log's own cluster; is this a mirror or a restored one, see "
    "`tidegauge world adopt`"
)
_ANEW: Final = (
    "it was made anew, what was kept of the old one doesn't fit it: once it holds all that is to count, `tidegauge world adopt` "
    "with a new TIDEGAUGE_GROUP; see docs/operators.md#world"
)
_PACK_TEXT: Final = "give every machine the same text; what is to change goes by `tidegauge policy activate`"
_SAME_RELEASE: Final = "run the release that the workers run"


def _other_group(group: str) -> str:
    return (
        f"set TIDEGAUGE_GROUP={group}; a second group would publish everything again: it runs as a shadow "
        "(`tidegauge worker --shadow`) until `tidegauge world takeover`, or on a log of its own (TIDEGAUGE_TOPIC_PREFIX)"
    )


def _other_key(name: str) -> Callable[[str], str]:
    file = name.lower().replace("_", ".")
    return lambda mark: (
        f"put back the key with fingerprint {mark} (TIDEGAUGE_{name}, or {file} in the data folder); is it rotated on "
        "purpose, see `tidegauge world adopt`"
    )


class _Part(NamedTuple):
    """A part of the identity that is equal or not."""

    field: str
    what: str
    remedy: Callable[[str], str]  # of the expected value
    of_setting: bool = True


_PARTS: Final = (
    _Part("cluster_id", "Kafka's cluster id", lambda _: _OTHER_LOG, False),
    _Part("topic_prefix", "topic prefix", lambda value: f"set TIDEGAUGE_TOPIC_PREFIX={value}"),
    _Part("base_currency", "base currency", lambda value: f"set TIDEGAUGE_BASE_CURRENCY={value}"),
    _Part("zone", "time zone", lambda value: f"set TIDEGAUGE_ZONE={value}"),
    _Part("cut_off", "end of a business day", lambda _: _SAME_RELEASE, False),
    _Part("group", "group of workers", _other_group),
    _Part("reference_key", "reference key", _other_key("REFERENCE_KEY")),
    _Part("alert_key", "alert key", _other_key("ALERT_KEY")),
)


def mismatches(expected: Identity, found: Identity) -> list[Difference]:
    """What of `found` does not fit the log's identity, place before settings. What `found` leaves out is not compared."""
    plain = [one for one in (_plain(expected, found, part) for part in _PARTS) if one is not None]
    places = [one for one in plain if not one.of_setting]
    settings = [one for one in plain if one.of_setting]
    return [*places, *_topics(expected, found), *settings, *_packs(expected, found), *_limits(expected, found)]


def _plain(expected: Identity, found: Identity, part: _Part) -> Difference | None:
    wanted, given = getattr(expected, part.field), getattr(found, part.field)
    if given is None or wanted is None or wanted == given:
        return None
    return Difference(part.what, wanted or "none", given or "none", part.remedy(wanted), part.of_setting)


def _topics(expected: Identity, found: Identity) -> Iterator[Difference]:
    given = {topic.name: topic for topic in found.topics}
    for wanted in expected.topics:
        name, has = f"topic {found.topic_prefix}{wanted.name}", given.get(wanted.name)
        if has is None:
            yield Difference(name, "that it is there", "none", "bring it back, or see docs/operators.md#world", False)
        elif wanted.topic_id is not None and has.topic_id not in (None, wanted.topic_id):
            yield Difference(name, f"id {wanted.topic_id}", f"id {has.topic_id}", _ANEW, False)
        elif wanted.partitions != has.partitions:
            yield Difference(
                name, f"{wanted.partitions} partitions", f"{has.partitions}",
                "customers now lie in other partitions than their state: see docs/operators.md#world", False,
            )  # fmt: skip


def _packs(expected: Identity, found: Identity) -> Iterator[Difference]:
    if found.packs is None or expected.packs is None:
        return
    ids = [[pack.pack_id for pack in one.packs or ()] for one in (expected, found)]
    if ids[0] != ids[1]:  # not the joined texts: an empty id would be no pack at all
        wanted, given = map(",".join, ids)
        yield Difference("packs", wanted or "none", given or "none", f"set TIDEGAUGE_PACK={wanted}", True)
        return
    for pack, has in zip(expected.packs, found.packs, strict=True):
        if pack.version != has.version:
            yield Difference(
                f"pack {pack.pack_id}", f"version {pack.version}", f"version {has.version}", _PACK_TEXT, True
            )
        elif pack.digest != has.digest:
            what = f"text of pack {pack.pack_id}, version {pack.version}"
            yield Difference(what, pack.digest, has.digest, _PACK_TEXT, True)


def _limits(expected: Identity, found: Identity) -> Iterator[Difference]:
    given = dict(found.limits or ())
    for name, value in expected.limits or ():
        if found.limits is not None and given.get(name, value) != value:
            yield Difference(name.replace("_", " "), str(value), str(given[name]), _SAME_RELEASE, False)


def extended(expected: Identity, found: Identity) -> Identity:
    """The identity with what a newer release, or newer brokers, know more: topics and their ids, limits, later packs.

    Nothing that the identity says is changed but the version of a pack, which only rises.
    """
    ids = {topic.name: topic.topic_id for topic in found.topics}
    known = {topic.name for topic in expected.topics}
    topics = [topic._replace(topic_id=topic.topic_id or ids.get(topic.name)) for topic in expected.topics]
    topics += [topic for topic in found.topics if topic.name not in known]
    limits = dict(found.limits or ()) | dict(expected.limits or ())
    return replace(
        expected, topics=tuple(topics), limits=tuple(LimitMark(*limit) for limit in limits.items()),
        packs=_later(expected.packs or (), found.packs or ()),
    )  # fmt: skip


def _later(known: Sequence[PackMark], found: Sequence[PackMark]) -> tuple[PackMark, ...]:
    """The packs, each in the later of two versions; the known ones where the lists differ."""
    if [pack.pack_id for pack in known] != [pack.pack_id for pack in found]:
        return tuple(known)
    return tuple(new if new.version > old.version else old for old, new in zip(known, found, strict=True))
