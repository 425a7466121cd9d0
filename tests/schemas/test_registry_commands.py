"""`tidegauge schemas`, and what commands say where the registry is down, empty, or another one than was meant."""

import json
import sys
from collections.abc import Callable, Iterator

import pytest

from deploy.settings import Settings
from schemas.compatibility import FULL, level_of
from schemas.confluent import subject_of
from schemas.registry import contract, names
from schemas.release import LATER
from tests.schemas.registry_server import RegistryServer
from tidegauge.checks import CheckLine
from tidegauge.checks.servers import contracts
from tidegauge.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(url, *words)`: exit code, output and errors of a command beside a registry."""

    def call(url: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("TIDEGAUGE_SCHEMA_REGISTRY_URL", url)
        monkeypatch.setattr(sys, "argv", ["tidegauge", *words])
        with pytest.raises(SystemExit) as left:
            main()
        code = left.value.code
        return int(code or 0), *capsys.readouterr()

    return call


@pytest.fixture
def empty() -> Iterator[RegistryServer]:
    with RegistryServer(released=False) as server:
        yield server


@pytest.mark.slow
def test_register_brings_what_is_missing_and_nothing_twice(run: Run, empty: RegistryServer) -> None:
    """First everything is missing, then everything is there; looking registers nothing."""
    code, out, err = run(empty.url, "schemas", "check", "--json")
    assert (code, set(json.loads(out).values())) == (1, {"missing"})
    assert "schemas register" in err
    assert not empty.writes
    for _ in range(2):
        code, out, _ = run(empty.url, "schemas", "register", "--json")
        assert code == 0
        found = json.loads(out)
        assert found == {subject_of(name): empty.subjects[subject_of(name)][0] for name in names()}
    assert len(empty.writes) == len(names()) + len(LATER)  # of these the versions to come too
    code, out, err = run(empty.url, "schemas", "check")
    assert (code, err) == (0, "")
    assert all(subject_of(name) in out for name in names())


@pytest.mark.slow
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("contracts", ["1", "2"])
def test_register_sets_what_each_subject_changes_by(
    run: Run, empty: RegistryServer, monkeypatch: pytest.MonkeyPatch, contracts: str, strict: bool
) -> None:  # fmt: skip
    """A registry that asks for full compatibility takes the versions with null too, whether it knows the subjects or not."""
    empty.strict = strict
    for name in ("standings", "tier-changes") if strict else ():
        empty.add(subject_of(name), {"schema": json.dumps(contract(name, 1))})
    monkeypatch.setenv("TIDEGAUGE_CONTRACTS", contracts)
    code, out, err = run(empty.url, "schemas", "register", "--json")
    assert (code, err) == (0, "")
    assert empty.levels == {subject_of(name): level_of(name) for name in names()}
    assert {name for name in names() if level_of(name) != FULL} == {"standings", "outlooks", "rm-alerts"}
    for name in names():
        assert json.loads(empty.schemas[json.loads(out)[subject_of(name)]]["schema"]) == contract(name, int(contracts))
        assert json.loads(empty.schemas[empty.subjects[subject_of(name)][-1]]["schema"]) == contract(name)


def test_what_it_would_refuse_is_named(run: Run, empty: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract that the registry's rule forbids beside what it has is not merely missing."""
    changed = {**contract("facts"), "doc": "incompatible"}
    empty.add(subject_of("facts"), {"schema": json.dumps({**changed, "fields": changed["fields"][1:]})})
    monkeypatch.setattr(
        "schemas.confluent.contract", lambda name, edition: changed if name == "facts" else contract(name, edition)
    )
    code, out, err = run(empty.url, "schemas", "check", "--json")
    assert (code, json.loads(out)[subject_of("facts")]) == (1, "incompatible")
    assert "it would refuse facts" in err


@pytest.mark.parametrize("words", [("worker",), ("schemas", "check"), ("schemas", "register")])
def test_a_registry_that_is_down_is_one_line(run: Run, words: tuple[str, ...]) -> None:
    """No traceback: what is wrong, and where to look."""
    code, out, err = run("http://127.0.0.1:9", *words)
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) <= 2


def test_a_worker_says_what_the_registry_lacks(run: Run, empty: RegistryServer) -> None:
    """It starts with all ids or not at all."""
    code, _, err = run(empty.url, "worker")
    assert code == 1
    assert "the registry has no " in err
    assert "tidegauge schemas register" in err


def test_without_a_registry_there_is_nothing_to_look_at(run: Run) -> None:
    """The ids of the files need no registration."""
    code, _, err = run("", "schemas", "register")
    assert code == 2
    assert "TIDEGAUGE_SCHEMA_REGISTRY_URL" in err


def test_the_doctor_looks_too(empty: RegistryServer) -> None:
    """Among its findings."""

    def found(url: str | None) -> CheckLine:
        return next(contracts(Settings(schema_registry_url=url)))

    assert (found(empty.url).good, found(empty.url).hint) == (False, "run `tidegauge schemas register`")
    empty.status = 500
    assert "bring it back" in found(empty.url).hint
    with RegistryServer() as server:
        assert found(server.url).good
    assert "come from the files" in found(None).found
