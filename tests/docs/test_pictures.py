"""docs/flow.svg and docs/case.svg say what is: topics and steps are all in them, and no text runs out of its box."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agents.standing.decide.cases.desk import CORRECTED
from agents.standing.decide.cases.outflow import CASE_ENDS
from deploy.topics import CATALOGUE
from schemas.topics import INPUTS
from streams.alerts.acts import STEPS_OF_ACTS
from streams.alerts.lifecycle import DEEPENED, RAISED
from tests.docs import data_flow

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "flow.svg"
SVG = "{http://www.w3.org/2000/svg}"
EM = 0.55  # of the size of the font: the width of a letter, on average, in a wide font
SIZES = {"small": 12}
USUAL = 14
BY_OTHERS = {"tasks", "notices", "queue-tickets", "audit-log", "world"}  # the standing job writes none of them


class Box(NamedTuple):
    """From left to right and from top to bottom."""

    left: float
    top: float
    right: float
    bottom: float


def boxes(picture: ET.Element) -> list[Box]:
    """The rectangles, without the paper."""
    found = []
    for rect in picture.iter(f"{SVG}rect"):
        if "class" in rect.attrib:
            x, y, width, height = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
            found.append(Box(x, y, x + width, y + height))
    return found


def texts(picture: ET.Element) -> Iterator[tuple[str, float, Box]]:
    """Each text with the x where it is anchored and the room that it takes, in a wide font."""
    for text in picture.iter(f"{SVG}text"):
        words, classes = text.text or "", text.attrib["class"].split()
        size = next((SIZES[name] for name in classes if name in SIZES), USUAL)
        width, x, y = len(words) * size * EM, float(text.attrib["x"]), float(text.attrib["y"])
        left = x - width / 2 if "middle" in classes else x - width if text.get("text-anchor") == "end" else x
        yield words, x, Box(left, y - size, left + width, y)


def overflowing(picture: ET.Element) -> list[str]:
    """Texts that are anchored in a box and don't stay in it."""
    found = []
    for words, x, room in texts(picture):
        around = [b for b in boxes(picture) if b.left <= x <= b.right and b.top <= room.bottom <= b.bottom]
        inner = min(around, key=lambda b: (b.right - b.left) * (b.bottom - b.top), default=None)
        if inner and not (inner.left <= room.left and room.right <= inner.right and inner.top <= room.top):
            found.append(words)
    return found


def test_every_topic_is_there() -> None:
    """What the standing job reads and what it writes, and nothing is dashed out."""
    words = {text for text, _, _ in texts(ET.parse(PICTURE).getroot())}
    assert set(INPUTS) <= words
    assert {topic.name for topic in CATALOGUE} - BY_OTHERS <= words
    assert "dasharray" not in PICTURE.read_text()


@pytest.mark.parametrize("name", ["case.svg", "case.zh-CN.svg"])
def test_every_step_of_a_case_is_there(name: str) -> None:
    """Steps of folds and of acts."""
    words = " ".join(text for text, _, _ in texts(ET.parse(PICTURE.parent / name).getroot()))
    steps = {RAISED, DEEPENED, CORRECTED, *CASE_ENDS.values(), *STEPS_OF_ACTS.values()}
    assert [step for step in steps if step not in words] == []


def test_the_data_flow_is_as_drawn() -> None:
    """If not: python -m tests.docs.data_flow. Every boundary of it has a row among the threats."""
    assert data_flow.PICTURE.read_text() == data_flow.drawn()
    page = (PICTURE.parent / "security.md").read_text()
    assert all(f"| {flow.boundary} " in page for flow in data_flow.FLOWS)


@pytest.mark.parametrize("name", ["flow.svg", "data-flow.svg", "case.svg", "case.zh-CN.svg"])
def test_texts_stay_in_their_boxes(name: str) -> None:
    """With letters as wide as in wide fonts."""
    assert overflowing(ET.parse(PICTURE.parent / name).getroot()) == []


@pytest.mark.parametrize("text", ["then the close with its cut and its day, in one transaction", "x" * 80])
def test_a_text_that_is_too_long_is_found(text: str) -> None:
    """The check can fail."""
    picture = ET.fromstring(PICTURE.read_text().replace("then the close, in one transaction", text))
    assert overflowing(picture) == [text]
