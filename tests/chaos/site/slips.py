"""Slips of hands: days far ahead, packs that come again, a second group, a second bank. Refused, or set aside and named."""

from __future__ import annotations

from typing import Final

from connectors.loading import broadcast
from connectors.loading.closer import Closer
from connectors.loading.closing_run import RunPlan
from policies import load_pack
from schemas.codec.records import encode
from streams.calendar import date_of
from tests.chaos.given import Given
from tests.chaos.site.bank import GOOD, Bank
from tests.chaos.system import Result
from tests.cli.invocation import Called
from tests.world.wrong_settings import LINES_MAX, REFUSED_S

# Each ends with a few lines that hold these words, and writes nothing.
REFUSED: Final = {
    ("close", "2027-03-11"): "one run closes up to 366 days",
    ("close", "2026-12-31"): "business days past the last close",
    ("close", "2100-01-01"): "2099",
    ("complete", "nosuch", "2026-01-12"): "no event came from a source nosuch",
    ("complete", "core", "2028-01-03"): "past the newest booked day",
    ("complete", " core", "2026-01-12"): "blanks around it",
    ("simulate", "--into-kafka", "--customers", "3", "--months", "1"): "hold a bank already",
}
CLOSE_AHEAD, MARK_AHEAD = 400, 700  # days


class PastTheGuard(Closer):
    """A closer of another make: it measures nothing."""

    def plan(self, day: int, *, own: bool = False) -> RunPlan:
        """Six days up to the one that was asked for."""
        return RunPlan(day, self.last, range(day - 5, day + 1), ())


def slips(given: Given) -> Result:
    """A close and a mark years ahead, a pack that would come again, a second group, a second bank; then all goes on."""
    with given.bank("slips") as bank:
        bank.start()
        bank.load(12)
        _refused(bank)
        _set_aside(bank)
        _pack_again(bank)
        _second_group(bank)
        bank.load(3)
        bank.judge()
        bank.expect("dead letters", not bank.outputs("dead-letters"), len(bank.outputs("dead-letters")))
        return bank.result()


def _refused(bank: Bank) -> None:
    ends = bank.log_ends()
    for words, wanted in REFUSED.items():
        bank.fault(" ".join(words[:3]))
        done = bank.tell(*words)
        bank.expect(" ".join(words), is_refusal(done, wanted), done)
    bank.expect("records that they wrote", bank.log_ends() == ends, sum(bank.log_ends()) - sum(ends))


def _set_aside(bank: Bank) -> None:
    """What comes past the commands: workers set it aside and go on; doctor and metrics name it until it is taken back."""
    bank.fault("a close and a mark past the commands")
    closer = PastTheGuard(bank.settings, encode)
    closer.close(bank.last + CLOSE_AHEAD)
    closer.shut()
    far = bank.last + MARK_AHEAD
    broadcast.broadcast(bank.settings, encode, broadcast.FACTS, [{**broadcast.complete("core", far)}])
    bank.load(3)
    bank.until(lambda: not bank.doctor()["marks"]["good"])
    for name, day in (("closes", bank.last - 3 + CLOSE_AHEAD), ("marks", far)):
        line = bank.doctor()[name]
        bank.expect(f"doctor: {name}", not line["good"] and str(date_of(day)) in line["found"], line)
        count = bank.metric(f"tidegauge_{name}_set_aside_total")
        bank.expect(f"metric: {name} set aside", count > 0, count)
    bank.expect("readyz meanwhile", bank.readyz().code == GOOD, bank.readyz())
    day = str(date_of(bank.last - 3 + CLOSE_AHEAD))
    done = bank.tell("close", day, "--retract", "--force", "--reason", "a slip of the year")
    bank.expect("the close is taken back", done.code == 0, done)
    done = bank.tell("complete", "core", str(date_of(far)), "--retract")
    bank.expect("the mark is taken back", done.code == 0, done)
    bank.until(lambda: bank.doctor()["marks"]["good"])
    for name in ("closes", "marks"):
        bank.expect(f"doctor: {name} afterwards", bank.doctor()[name]["good"], bank.doctor()[name])


def _pack_again(bank: Bank) -> None:
    """The old numbers put back for a day before the new ones begin: the later version is named, and can be taken back."""
    bank.fault("a pack that would come again")
    body = load_pack("rolling-quarter-aum").body
    for version in (2, 3):
        path = bank.folder / f"v{version}.yaml"
        path.write_text(body.replace("version: 1", f"version: {version}", 1), encoding="utf-8")
    later, sooner = str(date_of(bank.last + 50)), str(date_of(bank.last + 48))
    bank.tell("policy", "activate", str(bank.folder / "v2.yaml"), "--from", later)
    again = ("policy", "activate", str(bank.folder / "v3.yaml"), "--from", sooner)
    done = bank.tell(*again)
    bank.expect("activate", is_refusal(done, f"on {later} rolling-quarter-aum version 2 takes over"), done)
    done = bank.tell("policy", "retract", "rolling-quarter-aum", "2")
    bank.expect("policy retract", done.code == 0, done)
    done = bank.tell(*again)
    bank.expect("activate afterwards", done.code == 0, done)


def _second_group(bank: Bank) -> None:
    """A second group would tell everything twice, and another pack besides."""
    for more in ({"group": "second"}, {"group": "second", "pack": "abc-bands"}):
        bank.fault(f"a worker with {more}")
        limit_s = bank.patience(REFUSED_S)
        done, seconds = bank.child(["worker", "--metrics-port", "0"], 6 * limit_s, **more)
        said = Called(done.code, "", done.out + done.err)
        bank.expect("it ends", seconds < limit_s and is_refusal(said, ""), (done, seconds, limit_s))


def is_refusal(done: Called, wanted: str) -> bool:
    """Whether a command was refused in a few lines that hold these words."""
    lines = (done.out + done.err).strip().splitlines()
    said = " ".join(" ".join(lines).split())
    return done.code in (1, 2) and len(lines) <= LINES_MAX and wanted in said and "Traceback" not in said
