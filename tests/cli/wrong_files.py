"""Files that cannot be used, each wrong in a way of its own, and some that can, for the calls that go wrong elsewhere."""

import json
from pathlib import Path

from policies import load_pack

TICKETS = "ticket,arrives_at,class,service_seconds,changes\n"
COUNTERS = "counter,opens_at,closes_at,classes\n"
HEADER = (
    "event_id,source,journal_seq,customer_id,account_id,asset_class,currency,amount,value_date,booked_at,nature,branch"
)


LABELS = "customer_id,kind,first_day,last_day,amount_minor,day_80,counts_as"


def posting(number: int, day: str, **other: object) -> dict[str, object]:
    """A line of transactions that can be read."""
    return {
        "event_id": f"e{number}", "source": "core", "journal_seq": number, "customer_id": "C1", "account_id": "A1",
        "asset_class": "savings", "currency": "CNY", "amount": "100.00", "value_date": day,
        "booked_at": f"{day}T10:00:00+08:00", "nature": "external", "branch": "B1", **other,
    }  # fmt: skip


def bank(folder: Path, *lines: dict[str, object]) -> Path:
    """A folder with transactions."""
    folder.mkdir()
    (folder / "transactions.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def of_a_branch() -> dict[str, str | bytes]:
    """Tickets, counters and arrivals of a branch's day."""
    return {
        "tickets.csv": TICKETS + "a,0,gold,60,30:diamond\nb,5,ordinary,60,\n",
        "tickets-columns.csv": "ticket,arrives_at\na,0\n",
        "tickets-class.csv": TICKETS + "a,0,silver,60,\n",
        "tickets-second.csv": TICKETS + "a,0,gold,60,\nb,-1,gold,60,\n",
        "tickets-service.csv": TICKETS + "a,0,gold,0,\n",
        "tickets-change.csv": TICKETS + "a,0,gold,60,30\n",
        "tickets-twice.csv": TICKETS + "a,0,gold,60,\na,1,gold,60,\n",
        "tickets-name.csv": TICKETS + "a;b,0,gold,60,\n",
        "tickets-short.csv": TICKETS + "a,0,gold\n",
        "tickets-quote.csv": TICKETS + 'a,0,gold,60,"30:gold\n',
        "tickets-empty.csv": TICKETS,
        "tickets-gbk.csv": TICKETS.encode() + "号,0,gold,60,\n".encode("gbk"),
        "counters.csv": COUNTERS + "1,0,600,\n",
        "counters-closes.csv": COUNTERS + "1,600,0,\n",
        "counters-class.csv": COUNTERS + "1,0,600,gold;silver\n",
        "arrivals-hour.csv": "hour,class,arrivals,service_seconds\n24,gold,1,60\n",
        "arrivals-many.csv": "hour,class,arrivals,service_seconds\n0,gold,1.234,60\n",
    }


def make(at: Path) -> None:
    """All of them."""
    january = posting(1, "2026-01-05"), posting(2, "2026-01-20")
    bank(at / "good", *january)
    bank(at / "silent", *january, posting(3, "2026-09-01"))
    bank(
        at / "conflict", *january, posting(3, "2026-01-21"), posting(3, "2026-01-21", amount="999.00", event_id="other")
    )
    bank(at / "bad", posting(1, "2026-13-45"))
    bank(at / "mixed", *january, posting(3, "2026-13-45"))
    (at / "nothing").mkdir()
    texts = {
        "header/transactions.csv": HEADER + "\n",
        "empty/transactions.csv": "",
        "spaces/transactions.csv": " \n\n",
        "cr/transactions.csv": f"{HEADER}\re1,core,1,C1,A1,savings,CNY,1,2026-01-05,2026-01-05T10:00:00Z,external,B1\r",
        "twice/transactions.csv": "event_id,event_id\n",
        "foreign/transactions.csv": "event_id,weather\ne1,fine\n",
        "unnamed/list.csv": "event_id\ne1\n",
        "staff.csv": "staff_id,login,name,role,unit,change\nr7,li,Li,rm,hq,set\n",
        "staff-role.csv": "staff_id,login,name,role,unit,change\nr7,li,Li,boss,hq,set\n",
        "staff-full.csv": "staff_id,login,name,role,unit\nr7,li,Li,rm,hq\n",
        "holidays-gbk.csv": "date,bank\n2026-10-01,休息\n".encode("gbk"),
        "holidays-good.csv": "date,bank\n2026-10-01,closed\n",
        "holidays-empty.csv": "",
        "holidays-header.csv": "date,bank\n",
        "holidays-date.csv": "date,bank\n2026-02-30,closed\n",
        "holidays-word.csv": "date,bank\n2026-10-01,shut\n",
        "holidays-columns.csv": "day;bank\n2026-10-01;closed\n",
        **of_a_branch(),
        "broken.yaml": load_pack("abc-bands").body.replace("close: month", "close: moon"),
        "binary.yaml": bytes(range(256)),
        "empty.yaml": "",
        "list.yaml": "- a\n- b\n",
        "binary.json": b"\xff\xfe{",
        "cases-columns.csv": "case_id,facts\n",
        "cases-empty.csv": "case_id,scheme_id,customer_class,facts,expected_tier,why\n",
        "cases-gbk.csv": "case_id,scheme_id,customer_class,facts,expected_tier,why\n一,a,personal,{},b,因\n".encode(
            "gbk"
        ),
        "data.parquet/transactions.parquet": b"PAR1 no more",
        "binary-key/reference.key": b"\xff" * 40,
        "empty-key/reference.key": "",
        "file": "a file\n",
        "labels-alone/labels.csv": f"{LABELS}\nC1,plain,,,,,quiet\n",
        "labels-wrong/labels.csv": f"{LABELS}\nC1,plain,,,,,silent\n",
    }
    for name, text in texts.items():
        path = at / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
