"""A bank's own texts of notices: what they replace, and that nothing gets into one that may not leave the bank."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.notices import texts
from services.notices.bank_texts import (
    BODY_CHARS_MAX,
    SUBJECT_CHARS_MAX,
    TextsError,
    bank_texts,
    replaced_texts,
)
from services.notices.notifier import Notifier, compose
from streams.vocabulary.terms import ALERT_KINDS, OUTFLOW
from tests.services.fakes import MemoryChannel, MemoryLedger, MemoryTold
from tests.services.test_notices import ALERT, KEY
from tidegauge.cli.choices import KindOfNotice
from tidegauge.notice_samples import notice_samples

OWN = """
zh-CN:
  subjects:
    outflow: {raised: "{severity}:{customer} 请跟进"}
  late_subject: "(迟) "
  arrival_body: |
    {customer} {number} {{VIP}}
    {branch}
en:
  clear_body: done, alert {alert}
"""


async def test_only_what_is_named_is_replaced() -> None:
    """All other texts are those of before, and notices bear the bank's words."""
    found = replaced_texts(OWN, "own.yaml")
    channel = MemoryChannel()
    notifier = Notifier([channel], MemoryLedger(), MemoryTold(), KEY, lambda: 0, words=found)
    for status in ("raised", "deepened"):
        await notifier.notify(ALERT | {"status": status})
    assert [one.subject for one in channel.sent] == ["高:****0042 请跟进", "【高】客户 ****0042 资金流出扩大"]
    assert channel.sent[0].body == compose(KEY, ALERT, "memory", "zh-CN").body  # type: ignore[union-attr]
    changed = {
        (locale, name)
        for locale, one in texts.SHIPPED.items()
        for name in texts.NoticeTexts.__slots__
        if getattr(one, name) != getattr(found[locale], name)
    }
    assert changed == {
        ("zh-CN", "subjects"), ("zh-CN", "late_subject"), ("zh-CN", "arrival_body"), ("en", "clear_body"),
    }  # fmt: skip
    assert found["zh-CN"].late_subject == "(迟) "
    (arrived,) = notice_samples(found, "zh-CN", "arrived")
    assert arrived.body == "****0042 A012 {VIP}\n0102"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fr: {}", "own.yaml:1: fr: unknown language; known here: en, zh-CN"),
        ("en: {titles: {}}", "own.yaml:1: en.titles: unknown text; known here: subjects"),
        ("en:\n  bodies:\n    inflow: x", "own.yaml:3: en.bodies.inflow: unknown kind; known here: outflow"),
        (
            "en: {subjects: {outflow: {retracted: x}}}",
            "en.subjects.outflow.retracted: unknown step; known here: raised",
        ),
        ("en: {bodies: {outflow: 'left: {outflow_minor}'}}", "en.bodies.outflow: unknown placeholder {outflow_minor}"),
        ("en: {clear_subject: '{}'}", "en.clear_subject: unknown placeholder {}"),
        ("en: {clear_subject: '{0}'}", "unknown placeholder {0}"),
        ("en: {clear_subject: '{customer.name}'}", "unknown placeholder {customer.name}"),
        ("en: {clear_subject: '{customer[0]}'}", "unknown placeholder {customer[0]}"),
        ("en: {clear_subject: '{customer!r:>9}'}", "unknown placeholder {customer!r:>9}"),
        ("en: {clear_subject: '{share:{alert}}'}", "unknown placeholder {share:{alert}}"),
        ("en: {arrival_body: '{rule}'}", "unknown placeholder {rule}; known here: {branch}, {customer}"),
        ("en: {late_subject: '{rule}'}", "unknown placeholder {rule}; known here: none"),
        ("en: {clear_subject: 'a } b'}", "a brace stands alone"),
        ("en: {clear_subject: '{customer'}", "a brace stands alone"),
        ("en: {clear_subject: ''}", "must not be empty"),
        ("en: {clear_subject: [x]}", "expected a text"),
        ("en: {clear_subject: {customer}}", "expected a text; one that begins with { stands in quotes"),
        ("en: {subjects: {outflow: x}}", "en.subjects.outflow: expected a mapping"),
        ("en: {clear_subject: x, clear_subject: y}", "given twice"),
        (f"en: {{clear_subject: {'x' * (SUBJECT_CHARS_MAX + 1)}}}", "201 characters, at most 200 are taken"),
        (f"en: {{clear_body: {'x' * (BODY_CHARS_MAX + 1)}}}", "1,001 characters, at most 1,000 are taken"),
        ('en: {clear_subject: "a\\nb"}', "a line break or another character"),
        ('en: {clear_body: "a\\u202eb"}', "a line break or another character"),
        ("en: {fr: x, de: y, it: z}", "(and 2 more)"),
        ("en: [", "own.yaml:1: "),
        ("en: &a {}\nzh-CN: *a", "aliases are not allowed"),
        ("", "own.yaml:1: is empty"),
        ("- en", "expected a mapping"),
    ],
)
def test_what_is_refused_is_said_in_one_line(text: str, said: str) -> None:
    """With its place in the file."""
    with pytest.raises(TextsError) as refused:
        replaced_texts(text, "own.yaml")
    assert said in str(refused.value) and str(refused.value).startswith("own.yaml:")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"\xff", "is no UTF-8 text")],
    ids=["missing", "binary"],
)
def test_a_file_that_is_none(content: bytes | None, said: str, tmp_path: Path) -> None:
    """It is named."""
    path = tmp_path / "own.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TextsError, match=f"{re.escape(str(path))}.*{said}"):
        bank_texts(path)


@given(st.text(alphabet="{}!:.[]x0cusтomer customer", max_size=24))
def test_what_is_taken_can_be_filled(text: str) -> None:
    """Whatever somebody writes: it is refused, or it is filled with what a notice has and with nothing else."""
    try:
        found = replaced_texts(yaml.safe_dump({"en": {"clear_subject": text}}), "own.yaml")
    except TextsError:
        return
    assert {name for _, name, _, _ in Formatter().parse(text) if name is not None} <= texts.PLACES
    notice = compose(KEY, ALERT | {"status": texts.ALL_CLEAR}, "webhook", "en", words=found)
    assert notice is not None and str(ALERT["customer_id"]) not in notice.subject


@pytest.mark.parametrize("locale", sorted(texts.SHIPPED))
def test_samples_are_of_every_notice(locale: str) -> None:
    """Each kind, each step, each of them late too, and nothing is left to be filled in."""
    found = list(notice_samples(texts.SHIPPED, locale))
    steps: dict[str, Any] = {kind: {*texts.STATUSES} for kind in ALERT_KINDS} | {"arrived": {"arrived"}}
    steps[OUTFLOW] |= {texts.ALL_CLEAR}
    assert {kind: {one.step for one in found if one.kind == kind} for kind in steps} == steps
    assert len(found) == len({one[:3] for one in found}) == 2 * sum(map(len, steps.values())) - 1
    assert not any("{" in one.subject + one.body for one in found)
    assert [kind.value for kind in KindOfNotice] == [*steps]
