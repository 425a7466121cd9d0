"""`policy describe` and `policy new`: every clause is told, in both languages."""

import json
import re
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from typer.testing import CliRunner

from policies import PackError, check, load_pack, parse_pack
from policies.description.sentences import as_markdown, described_pack
from policies.diff import flattened
from policies.language.loader import beginning, idle_settings
from tests.policies.grammar_packs import packs
from tests.streams.fast import unshrunk
from tidegauge.cli.choices import KindOfPack
from tidegauge.cli.policy.command import app

KINDS = [kind.value for kind in KindOfPack]
SHIPPED = ("abc-bands", "asset-frequency-tenure", "hq-level", "layered-care", "three-card", "service-centre")


def clauses(node, way=()):
    """The places of everything that is written in a document."""
    members = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, below in members:
        yield (*way, key)
        yield from clauses(below, (*way, key))


def without(document, way):
    """The document less one clause."""
    left = deepcopy(document)
    node = left
    for key in way[:-1]:
        node = node[key]
    del node[way[-1]]
    return left


def told_apart(document):
    """Clauses without which the pack is good and another one, though it reads the same; and how many there are."""
    pack, silent, looked = parse_pack(json.dumps(document)), [], 0
    texts = [str(described_pack(pack, zh)) for zh in (False, True)]
    for way in clauses(document):
        if way[0] == "name" or way[-1] in ("zh", "en", "effective_from", "version"):
            continue
        try:
            less = parse_pack(json.dumps(without(document, way)))
        except PackError:
            continue
        if flattened(less) == flattened(pack):
            continue  # it said what holds anyway
        looked += 1
        silent += [way] if texts[0] == str(described_pack(less)) or texts[1] == str(described_pack(less, True)) else []
    return silent, looked


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SHIPPED, *KINDS])
def test_no_clause_is_left_out(name):
    """Without any clause of a pack its description is another one, in either language."""
    text = beginning(name, "tried") if name in KINDS else load_pack(name).body
    document = yaml.load(text, yaml.BaseLoader)  # texts alone, as packs are read
    silent, looked = told_apart(document)
    assert not silent
    assert looked > 3


@pytest.mark.slow
@settings(unshrunk, max_examples=15)
@given(packs())
def test_no_clause_of_any_pack_is_left_out(text):
    """So it is of packs of the whole grammar."""
    try:
        parse_pack(text)
    except PackError:
        return
    assert not told_apart(json.loads(text))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_pack_is_good(kind, tmp_path, monkeypatch):
    """Of each kind, asked for or named; nothing in it is idle."""
    monkeypatch.chdir(tmp_path)
    asked = CliRunner().invoke(app, ["new", "asked.yaml"], input=f"{kind}\n")
    named = CliRunner().invoke(app, ["new", "named.yaml", "--kind", kind])
    assert (asked.exit_code, named.exit_code) == (0, 0)
    assert check(tmp_path / "asked.yaml") == check(tmp_path / "named.yaml") == []
    body = (tmp_path / "asked.yaml").read_text(encoding="utf-8")
    assert load_pack(tmp_path / "asked.yaml").id == "asked"
    assert idle_settings(body) == ()


@pytest.mark.parametrize("lang", ["en", "zh-CN"])
def test_the_command_says_it(lang):
    """As a table, as Markdown and for machines."""
    run = CliRunner()
    table = run.invoke(app, ["describe", "rolling-quarter-aum", "--lang", lang])
    markdown = run.invoke(app, ["describe", "rolling-quarter-aum", "--lang", lang, "--markdown"])
    machines = run.invoke(app, ["describe", "rolling-quarter-aum", "--lang", lang, "--json"])
    assert (table.exit_code, markdown.exit_code, machines.exit_code) == (0, 0, 0)
    pack, zh = load_pack("rolling-quarter-aum"), lang == "zh-CN"
    assert markdown.output.strip() == as_markdown(pack, described_pack(pack, zh), zh)
    assert [one["title"] for one in json.loads(machines.output)] == [
        section.title for section in described_pack(pack, zh)
    ]
    assert described_pack(pack, zh)[0].title in table.output


@pytest.mark.parametrize("zh", [False, True])
def test_no_shipped_pack_needs_the_place_of_a_setting(zh):
    """Whatever a shipped pack or an example says has words of its own."""
    paths = [*Path("policies/packs").glob("*.yaml"), *Path("policies/examples").glob("*/pack.yaml")]
    lines = [line for path in paths for section in described_pack(load_pack(path), zh) for line in section.lines]
    assert len(paths) > 25
    assert [line for line in lines if not line or re.search(r"(^|[:：;；] ?)[a-z]+[_.][a-z_.]+[:：]", line)] == []
