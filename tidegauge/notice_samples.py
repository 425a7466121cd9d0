"""What notices say, on a sample alert of each kind: for whoever writes texts, before anybody gets them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from services.notices import texts
from services.notices.arrivals import arrival_words
from services.notices.notifier import compose
from streams.vocabulary.terms import ALERT_KINDS, OUTFLOW

SAMPLE_ALERT: Final[Mapping[str, Any]] = {
    "alert_id": "3f6f2b9c1d", "event_id": "sample", "customer_id": "6230001234560042", "rule": "sample-rule",
    "severity": "high", "window_days": 7, "share_bp": 2857, "branch": "0102", "rm_id": "rm-7", "raised_day": 20514,
    "next_close": 20543, "due_day": 20543, "level": None,
}  # fmt: skip
SAMPLE_TICKET: Final[Mapping[str, Any]] = {"number": "A012", "queue_class": "diamond", "branch": "0102"}


class NoticeSample(NamedTuple):
    """What a notice says. step: the state of an alert of this kind; late: told days after."""

    kind: str
    step: str
    late: bool
    subject: str
    body: str


def notice_samples(
    words: Mapping[str, texts.NoticeTexts], locale: str, kind: str = ""
) -> Iterator[NoticeSample]:  # fmt: skip
    """Every notice in one language, of a kind of alerts or of all; `arrived` is that of a customer who has come."""
    for one in ALERT_KINDS:
        if kind in ("", one):
            yield from _of_alerts(words, locale, one)
    if kind in ("", texts.VIP_ARRIVED):
        text = arrival_words(SAMPLE_TICKET, SAMPLE_ALERT["customer_id"], words[locale])
        yield NoticeSample(texts.VIP_ARRIVED, texts.VIP_ARRIVED, False, *text)


def _of_alerts(words: Mapping[str, texts.NoticeTexts], locale: str, kind: str) -> Iterator[NoticeSample]:
    for step in (*texts.STATUSES, *((texts.ALL_CLEAR,) if kind == OUTFLOW else ())):
        for late in (False, True):
            alert = {**SAMPLE_ALERT, "kind": kind, "status": step}
            notice = compose(b"", alert, "", locale, late=late, words=words)
            assert notice is not None  # each kind has a text of each step
            yield NoticeSample(kind, step, late, notice.subject, notice.body)
