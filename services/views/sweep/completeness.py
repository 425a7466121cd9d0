"""How complete the view is, read from what its writer left in the store: for `doctor` and whoever else asks."""

from typing import TYPE_CHECKING, Final, NamedTuple

from services.views.keys import as_bytes

if TYPE_CHECKING:
    from redis import Redis

    from services.views.keys import Keys

SILENT_MS: Final = 30_000
"""Without a word of the writer for so long, nobody watches the view."""


class Completeness(NamedTuple):
    """Whether the view has all its rows, in words, and what to do where it may not have them."""

    good: bool
    found: str
    hint: str = ""


def completeness(client: "Redis", keys: "Keys") -> Completeness:
    """What the last sweep over the rows found, and how long it took. Raises what the client raises."""
    noted = {as_bytes(name).decode(): as_bytes(text).decode() for name, text in client.hgetall(keys.sweep).items()}
    if not noted or not client.exists(keys.meta):
        return Completeness(False, "no view, or none that was ever swept", "start `tidegauge views`")
    seconds, micros = client.time()
    silent_ms = seconds * 1000 + micros // 1000 - int(noted["at"])
    if silent_ms > SILENT_MS:
        return Completeness(False, f"nobody has watched it for {silent_ms // 1000} s", "start `tidegauge views`")
    if noted["trouble"]:
        hint = "wait for the sweep; `tidegauge rebuild` makes it anew"
        if noted["policy"] != "noeviction":
            hint = "set the Redis server's maxmemory-policy to noeviction, and give it enough memory"
        return Completeness(False, noted["trouble"], hint)
    if noted["sweeps"] == "0":
        return Completeness(True, "nothing known to be missing; the first sweep is not through yet")
    mended = f", {noted['mended']} mended since its writer began" if noted["mended"] != "0" else ""
    return Completeness(True, f"all {int(noted['rows']):,} rows there; a sweep takes {noted['seconds']} s{mended}")
