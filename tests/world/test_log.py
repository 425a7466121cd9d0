"""The identity on a real log: who begins it, what is refused, and what a running process notices."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import NewTopic

from deploy import admin, record, topics
from deploy.errors import KeyLostError
from deploy.settings import SettingKind, Settings, kind_of
from policies import load_pack
from schemas.topics import INPUTS
from tests.conftest import Kafka
from tidegauge.cli.failures import line_for
from tidegauge.world import check as check_module
from tidegauge.world import watch
from tidegauge.world.changes import WorldChange, adoption, compared, make_change, rebuilding
from tidegauge.world.check import World, WorldError, begin_world, check_world
from tidegauge.world.found import USES_ALL, USES_PLACE, digest
from tidegauge.world.identity import ADOPTED, CREATED, REBUILT, entry_in_force
from tidegauge.world.log import read_entries
from tidegauge.world.watch import Watch

pytestmark = pytest.mark.integration

OTHER_KEY = "another key for tests, also 32 bytes long"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"

# A wrong value of every setting of the kind identity, and what the line has to name besides the setting.
WRONG: dict[str, tuple[Any, str]] = {
    "topic_prefix": ("nowhere.", "nowhere."),
    "group": ("second", "second"),
    "base_currency": ("CZK", "CZK"),
    "zone": ("Europe/Prague", "Europe/Prague"),
    "pack": ("medal-annual", "medal-annual"),
    "reference_key": (OTHER_KEY, "reference key"),
    "alert_key": (OTHER_KEY, "alert key"),
}


def changed(settings: Settings, **values: Any) -> Settings:
    """Settings with other values, checked as those of the environment are."""
    plain = {name: getattr(settings, name) for name in settings.model_fields_set} | values
    return Settings(**plain)


@pytest.fixture
def world(make_topics: Callable[..., Settings]) -> World:
    """A log of the test's own, whose first worker has begun it."""
    return begin_world(make_topics(*INPUTS, "standings"))


@pytest.fixture(scope="module")
def shared(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A log with an identity for the tests that change nothing."""
    prefix = f"t{uuid.uuid4().hex[:10]}."
    settings = Settings(
        bootstrap_servers=kafka.bootstrap_servers, topic_prefix=prefix, group=f"{prefix}group",
        data_dir=tmp_path_factory.mktemp("world"), reference_key="a reference key for tests, 32 bytes long",
    )  # fmt: skip
    topics.create(settings)
    return begin_world(settings)


def wanted(change: WorldChange | None) -> WorldChange:
    """A change, since something differs."""
    assert change is not None
    return change


def made_anew(settings: Settings, name: str, partitions: int = 4) -> None:
    """Delete a topic and create it once more."""
    administrator, full = admin.client(settings.kafka), settings.topic(name)
    administrator.delete_topics([full])[full].result(30)
    while full in administrator.list_topics(timeout=10).topics:
        pass
    administrator.create_topics([NewTopic(full, partitions, 1)])[full].result(30)
    while full not in administrator.list_topics(timeout=10).topics:
        pass


def test_every_setting_has_a_kind_and_every_identity_setting_a_test() -> None:
    """A setting says its kind where it is declared, docs/settings.md says the same, and what is identity is refused below."""
    kinds = {name: kind_of(name) for name in Settings.model_fields}
    documented = dict(re.findall(r"^\| `TIDEGAUGE_([A-Z_]+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE))
    assert documented == {name.upper(): kind.value for name, kind in kinds.items()}
    assert {name for name, kind in kinds.items() if kind is SettingKind.IDENTITY} == set(WRONG)


def test_first_worker_gives_the_identity_and_all_others_read_it(shared: World) -> None:
    """One record, with the brokers' ids; a second start writes nothing."""
    again = begin_world(shared.settings)
    (entry,) = read_entries(shared.settings)
    assert (entry.kind, again.entry, entry.identity) == (CREATED, entry, shared.found)
    assert entry.identity.whole() and entry.epoch > 0
    assert all(topic.topic_id and topic.partitions == 4 for topic in entry.identity.topics)
    assert check_world(shared.settings, USES_ALL).entry == entry


def test_of_two_first_workers_with_other_settings_one_is_refused(make_topics: Callable[..., Settings]) -> None:
    """Both write at once; the first record in the log counts, for both of them."""
    settings = make_topics("world", *INPUTS)
    said: list[object] = []
    gate = threading.Barrier(2)

    def begin(mine: Settings) -> None:
        gate.wait()
        try:
            said.append(begin_world(mine).entry)
        except WorldError as problem:
            said.append(problem)

    both = [threading.Thread(target=begin, args=(s,)) for s in (settings, changed(settings, zone="UTC"))]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    refusals = [one for one in said if isinstance(one, WorldError)]
    assert (len(said), len(refusals)) == (2, 1)
    assert "time zone" in str(refusals[0])
    assert entry_in_force(read_entries(settings)) in said


@pytest.mark.parametrize(
    "check", [begin_world, lambda settings: check_world(settings, USES_ALL)], ids=["worker", "reader"]
)
@pytest.mark.parametrize("name", WRONG)
def test_another_identity_setting_is_refused(name: str, check: Callable[[Settings], object], shared: World) -> None:
    """In at most three lines that name the setting, what is expected and what was found; nothing is written."""
    value, word = WRONG[name]
    with pytest.raises(WorldError) as told:
        check(changed(shared.settings, **{name: value}))
    line = line_for(told.value)
    assert line is not None
    said = f"{line}\n{line.hint}"
    assert f"TIDEGAUGE_{name.upper()}" in said and word in said
    assert len(said.splitlines()) <= 3
    assert len(read_entries(shared.settings)) == 1


@pytest.mark.parametrize("name", WRONG)
def test_who_does_not_use_a_setting_may_have_another(name: str, shared: World) -> None:
    """A connector needs no pack and no key: only where the log is has to be right."""
    if name != "topic_prefix":
        assert check_world(changed(shared.settings, **{name: WRONG[name][0]}), USES_PLACE).entry == shared.entry


def test_partitions_are_those_of_the_topics(shared: World) -> None:
    """Another TIDEGAUGE_PARTITIONS is the same bank, whole."""
    for check in (begin_world, check_world):
        assert check(changed(shared.settings, partitions=2)).settings.partitions == 4


def test_a_lost_key_is_not_made_up_again(kafka: Kafka, make_topics: Callable[..., Settings], topic_prefix: str) -> None:
    """Of an embedded Kafka the first worker makes the key; without it nobody goes on, as another one gives other references."""
    folder = make_topics(*INPUTS).data_dir
    folder.mkdir(parents=True, exist_ok=True)
    record.write_record(folder, {"bootstrap_servers": kafka.bootstrap_servers})
    mine = Settings(topic_prefix=topic_prefix, group=f"{topic_prefix}group", data_dir=folder)
    with pytest.raises(KeyLostError, match="no reference key"):
        check_world(mine, USES_ALL)
    assert not (folder / "reference.key").exists(), "a reader makes no key"
    entry = begin_world(mine).entry
    assert entry is not None and entry.identity.reference_key == entry.identity.alert_key
    (folder / "reference.key").rename(folder / "aside")
    for check in (begin_world, lambda settings: check_world(settings, USES_ALL)):
        for settings in (mine, mine.model_copy(update={"bootstrap_servers": kafka.bootstrap_servers})):
            with pytest.raises(KeyLostError, match=entry.identity.reference_key or "") as lost:
                check(settings)
            assert "put that one back" in lost.value.hint, "a new one would give other references"
    assert not (folder / "reference.key").exists()


def test_a_topic_made_anew_is_noticed_by_who_runs_and_by_who_starts(world: World) -> None:
    """Its offsets are others; the same name says nothing. A second look is the same, and a good one tells the views."""
    told: list[World] = []
    running = Watch(world, USES_ALL, tell=told.append)
    assert running.look() is None and [one.entry for one in told] == [world.entry]
    made_anew(world.settings, "transactions")
    with pytest.raises(WorldError) as starting:
        begin_world(world.settings)
    for problem in (running.look(), starting.value):
        assert "topic" in str(problem) and "transactions" in str(problem) and "id" in str(problem)
    assert len(told) == 1


def test_a_running_process_ends_when_what_differs_differs_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The looking is a thread of its own, and ends with what it found."""
    monkeypatch.setattr(watch, "EVERY_S", 0.01)
    monkeypatch.setattr(watch, "AGAIN_S", 0.01)
    ended, heard = threading.Event(), list[WorldError]()
    stopped = Watch(world, USES_ALL).start(lambda problem: (heard.append(problem), ended.set()))
    assert not ended.wait(0.5)
    made_anew(world.settings, "standings", partitions=5)
    assert ended.wait(240)
    assert "standings" in str(heard[0])
    stopped.set()


def test_a_running_process_keeps_what_it_began_with(shared: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It compares what its settings said then: reading packs again would keep a worker's postings waiting."""
    monkeypatch.setattr("tidegauge.world.found._packs", None)
    monkeypatch.setattr("tidegauge.world.found.key_fingerprint", None)
    assert Watch(shared, USES_ALL).look() is None
    wrong = shared._replace(found=replace(shared.found, zone="Europe/Prague"))
    assert "Europe/Prague" in str(Watch(wrong, USES_ALL).look())


def test_brokers_that_are_away_are_no_other_world(shared: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that gets no answer says nothing."""
    monkeypatch.setattr(check_module, "BROKERS_WAIT_S", 0.3)
    away = shared._replace(settings=changed(shared.settings, bootstrap_servers="127.0.0.1:1"))
    assert Watch(away, USES_PLACE).look() is None


def test_a_log_from_before_is_read_as_it_is(make_topics: Callable[..., Settings]) -> None:
    """Without the topic `world`: readers go on, and the first worker makes topic and identity."""
    settings = make_topics(*INPUTS)
    assert check_world(settings, USES_ALL).entry is None
    assert compared(settings) == (None, [])
    assert begin_world(settings).entry is not None


def test_adopting_makes_what_is_found_the_identity(world: World) -> None:
    """A plan changes nothing; the epoch rises, the reason stays, and the old settings are the wrong ones then."""
    other = changed(world.settings, reference_key=OTHER_KEY)
    assert world.entry is not None
    change = wanted(adoption(other))
    assert any("reference key" in line for line in change.lines) and not change.unusual
    assert len(read_entries(other)) == 1
    make_change(change, "the key was rotated", "operator:hq")
    now = check_world(other, USES_ALL).entry
    assert now is not None
    assert (now.kind, now.reason, now.written_by) == (ADOPTED, "the key was rotated", "operator:hq")
    assert now.epoch == world.entry.epoch + 1 and now.follows == world.entry.event_id
    with pytest.raises(WorldError, match="reference key"):
        check_world(world.settings, USES_ALL)
    assert adoption(other) is None
    with pytest.raises(WorldError, match="somebody else"):
        make_change(change, "planned before, and too late", "operator:hq")


def test_a_state_does_not_go_on_with_another_log(world: World) -> None:
    """Adopting topics made anew wants another group where the group has state; that one is the owner then."""
    settings = world.settings
    changelog = f"{settings.topic_prefix}{settings.group}-standing-changelog"
    administrator = admin.client(settings.kafka)
    administrator.create_topics([NewTopic(changelog, 4, 1)])[changelog].result(30)
    made_anew(settings, "balances")
    (unusual,) = wanted(adoption(settings)).unusual
    assert "another one" in unusual and "TIDEGAUGE_GROUP" in unusual
    new = changed(settings, group=f"{settings.topic_prefix}second")
    change = wanted(adoption(new))
    assert any("again, with the same ids" in line for line in change.lines) and not change.unusual
    make_change(change, "loaded again", "operator:hq")
    assert begin_world(new).entry is not None
    with pytest.raises(WorldError, match="group"):
        begin_world(settings)


def test_rebuilding_deletes_state_and_offsets(world: World) -> None:
    """The identity stays and the epoch rises; the worker begins with the log."""
    settings = world.settings
    changelog = f"{settings.topic_prefix}{settings.group}-standing-changelog"
    administrator = admin.client(settings.kafka)
    administrator.create_topics([NewTopic(changelog, 4, 1)])[changelog].result(30)
    change = rebuilding(settings)
    assert changelog in topics.survey(settings).names and not change.unusual
    make_change(change, "lost", "operator:hq")
    assert changelog not in topics.survey(settings).names
    now = begin_world(settings).entry
    assert now is not None and world.entry is not None
    assert (now.kind, now.epoch, now.identity) == (REBUILT, world.entry.epoch + 1, world.found)


def test_digest_is_of_what_a_pack_says() -> None:
    """Comments and layout say nothing; a number does."""
    pack = load_pack("rolling-quarter-aum")
    object.__setattr__(pack, "body", pack.body + "\n# a comment\n")
    assert digest(pack) == digest(load_pack("rolling-quarter-aum"))
    object.__setattr__(pack, "body", pack.body.replace("version: 2", "version: 7"))
    assert digest(pack) != digest(load_pack("rolling-quarter-aum"))
