"""The two parsers of a pack's text give the same nodes: which of them has read it makes no pack another."""

import json
from collections.abc import Iterator

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import available_packs, load_pack
from policies.language.reader import FastNodes, PlainNodes, QuickLoader, root_node
from tests.policies.grammar_packs import packs

BODIES = [load_pack(name).body for name in available_packs()]
INDICATORS = list("{}[],:?-#&*!|>'\"%@` \n\t0aÄ储\u2028\x85\U0001f600")


def nodes(root: yaml.Node | None) -> Iterator[tuple[object, ...]]:
    """Every node: its kind, its text, its line and column. Where nothing stands, the parsers name either end of the gap."""
    if root is None:
        return
    text, place = root.value if isinstance(root, yaml.ScalarNode) else None, root.start_mark
    yield type(root), text, None if text == "" else (place.line, place.column)
    for below in root.value if text is None else ():
        for node in below if isinstance(below, tuple) else (below,):
            yield from nodes(node)


def said(text: str, kind: type[FastNodes | PlainNodes]) -> list[tuple[object, ...]] | None:
    """The nodes of a text; None where it is refused."""
    try:
        return list(nodes(kind(text).get_single_node()))
    except (yaml.YAMLError, UnicodeError):
        return None


def test_libyaml_is_there() -> None:
    """Else the tests below would compare a parser with itself."""
    assert QuickLoader is not yaml.SafeLoader


@pytest.mark.parametrize("body", BODIES, ids=available_packs())
def test_shipped_packs(body: str) -> None:
    """Each node, at its place."""
    assert said(body, FastNodes) == said(body, PlainNodes) != None  # noqa: E711


@st.composite
def edited(draw: st.DrawFn) -> str:
    """A few lines of a pack with something in them, or taken out of them."""
    lines = draw(st.sampled_from(BODIES)).splitlines(keepends=True)
    at = draw(st.integers(0, len(lines) - 1))
    text = "".join(lines[at : at + draw(st.integers(1, 12))])
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(text)))
        more = draw(st.text(st.sampled_from(INDICATORS), max_size=3))
        text = text[:place] + more + text[place + draw(st.integers(0, 2)) :]
    return text


@settings(max_examples=300)
@given(edited() | packs("tiers") | st.text(st.sampled_from(INDICATORS), max_size=30))
def test_any_text(text: str) -> None:
    """What both take, both read alike; what the quick one refuses the other judges."""
    quick, plain = said(text, FastNodes), said(text, PlainNodes)
    if quick is not None and plain is not None:
        assert quick == plain
    try:
        found = list(nodes(root_node(text)))
    except yaml.YAMLError:
        assert plain is None
    else:
        assert found == (plain if quick is None else quick)


def test_what_is_wrong_is_said_in_the_words_of_the_other() -> None:
    """Depth and aliases are looked at in both."""
    for text, words in ((json.dumps([[[]]] * 2), None), ("[" * 40, "nested deeper"), ("a: &x 1\nb: *x", "aliases")):
        if words is None:
            assert root_node(text) is not None
            continue
        with pytest.raises(yaml.MarkedYAMLError, match=words):
            root_node(text)
