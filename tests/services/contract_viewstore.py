"""What any store of the view must do. `check_*(store, read)` run by the fake and by the real part alike.

`read(key)` gives a row as text fields, or the members of a list, lowest first; None where there is nothing.
"""

from collections.abc import Callable
from typing import Any

import pytest

from services.views.store import Chunk, Drop, IndexEntry, LeaseLostError, Leave, Put, ViewStore

Read = Callable[[str], Any]


def check_rows_and_offset_move_together(store: ViewStore, read: Read) -> None:
    """A chunk's rows are there exactly when its offset has moved."""
    assert store.apply("me", [Chunk("t:0", None, 5, [Put("tidegauge:priority:a", 1, {"f": "x"})])]) == [True]
    assert store.positions() == {"t:0": 5}
    assert read("tidegauge:priority:a") == {"version": "1", "f": "x"}


def check_a_chunk_counts_once(store: ViewStore, read: Read) -> None:
    """A chunk that comes again, or does not begin where the store stands, changes nothing."""
    first = Chunk("t:0", None, 5, [Put("k", 1, {"f": "x"})])
    assert store.apply("me", [first, Chunk("t:0", 5, 7, [Drop("k")])]) == [True, True]
    assert store.apply("me", [first, Chunk("t:0", 6, 9, [Put("k", 3, {"f": "y"})])]) == [False, False]
    assert (store.positions(), read("k")) == ({"t:0": 7}, None)


def check_older_never_overwrites_newer(store: ViewStore, read: Read) -> None:
    """A lower version is dropped, the same and a higher one are written, beyond 2**53 too."""
    big = 2**60
    versions = [9, 10, 2, big + 1, big, big + 1]
    for number, version in enumerate(versions):
        store.apply("me", [Chunk("t:0", number or None, number + 1, [Put("k", version, {"n": str(number)})])])
    assert read("k") == {"version": str(big + 1), "n": "5"}


def check_lists_keep_the_newest(store: ViewStore, read: Read) -> None:
    """A list never grows beyond its bound; what leaves takes its own row along."""
    puts = [Put(f"own:{name}", 1, {"f": name}) for name in "abc"]
    lists = [IndexEntry("l", score, name, 2, owned="own:") for score, name in ((3, "c"), (1, "a"), (2, "b"), (2, "b"))]
    store.apply("me", [Chunk("t:0", None, 9, [*puts, *lists])])
    assert read("l") == ["b", "c"]
    assert (read("own:a"), read("own:b")) == (None, {"version": "1", "f": "b"})


def check_members_leave(store: ViewStore, read: Read) -> None:
    """What the view lacks is told by partition, until it leaves; the place moves with it."""
    lists = [
        IndexEntry(f"tidegauge:lacking:{source}", 1, name, 9)
        for source, name in (("t:0", "a"), ("t:0", "b"), ("t:1", "c"))
    ]
    store.apply("me", [Chunk("t:0", None, 9, [*lists, Leave("tidegauge:lacking:t:0", "a"), Leave("nowhere", "x")])])
    assert store.lacking(["t:0", "t:1", "t:2"]) == {"t:0": {"b"}, "t:1": {"c"}, "t:2": set()}


def check_one_writer(store: ViewStore, read: Read) -> None:
    """Who has been replaced can't write, mark or wipe any more."""
    assert store.take("me")
    assert store.take("me")
    assert not store.take("you")
    assert store.take("you", force=True)
    for late in (
        lambda: store.apply("me", [Chunk("t:0", None, 1, [Put("k", 1, {"f": "x"})])]),
        lambda: store.mark_fresh("me", {"t:0": (None, 0)}),
        lambda: store.wipe("me"),
    ):
        with pytest.raises(LeaseLostError):
            late()
    store.release("me")
    assert not store.take("me")
    store.release("you")
    assert store.take("me")
    assert read("k") is None


def check_fresh_only_where_the_store_stands(store: ViewStore, read: Read) -> None:
    """A partition whose rows are gone, that is elsewhere, or that the store was not told of, is not marked fresh."""
    store.apply("me", [Chunk("t:0", None, 5, [])])
    assert not store.mark_fresh("me", {"t:0": (5, 0)})
    store.begin({"cluster": "c"}, ["t:0", "t:1"])
    assert store.mark_fresh("me", {"t:0": (5, 0), "t:1": (None, 7)})
    assert not store.mark_fresh("me", {"t:0": (4, 0)})
    assert not store.mark_fresh("me", {"t:1": (3, 0)})


def check_wipe_leaves_nothing_of_the_view(store: ViewStore, read: Read) -> None:
    """After a wipe there are neither rows nor offsets nor what the view was built from; foreign keys stay."""
    store.begin({"cluster": "c"}, ["t:0"])
    puts = [Put(f"tidegauge:priority:{n}", 1, {"f": "x"}) for n in range(50)]
    foreign = Put("elsewhere:priority:1", 1, {"f": "x"})
    index = IndexEntry("tidegauge:alerts:rm:7", 1, "a", 5)
    store.apply("me", [Chunk("t:0", None, 9, [*puts, foreign, index])])
    assert store.mark_fresh("me", {"t:0": (9, 0)})
    seen: list[int] = []
    store.wipe("me", seen.append)
    assert (store.positions(), store.meta()) == ({}, {})
    assert [read("tidegauge:priority:3"), read("tidegauge:alerts:rm:7")] == [None, None]
    assert seen[-1] >= 51


CONTRACT = [check for name, check in sorted(globals().items()) if name.startswith("check_")]
