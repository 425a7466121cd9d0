"""The rights of each kind of process are those that it uses: the rows agree with the lists by which processes read and write."""

import json

import pytest
import yaml

from deploy.security.principals import BY_NAME, PRINCIPALS, acls, redis_acl
from deploy.topics import TOPIC_NAMES, WORLD, WRITTEN_BY_WORKERS
from schemas.topics import CLOSES, INPUTS, MARKED, OWNERS, STATES
from schemas.validation.columns import ACTIONS
from services.access.audit import AUDIT_LOG
from services.clock.clock import CLOCK_TOPICS
from services.queue.tickets.keys import TicketKeys
from services.views.keys import Keys
from services.views.projections import PROJECTIONS
from tests.cli.invocation import call
from tests.contracts.test_catalogue import CONSUMERS
from tidegauge.cli import COMMANDS
from tidegauge.explanation.log import OUTPUTS

# Consumers of tests/contracts/test_catalogue.py -> the principal that they run as.
RUN_AS = {
    "standing job": "worker", "account agent": "worker", "views": "views", "sweep of the views": "views", "notifier": "notices",
    "the bank's days for notices": "notices", "closer": "loader", "packs that were sent": "loader",
    "refused events of files": "loader", "dead-letters": "operator", "world": "worker", "the last epoch": "worker",
    "explain": "desk", "check-source": "loader", "readers of the views": None, "look-up": None,
    "what a takeover withdraws": "operator", "notices that were told": "notices",
    "notices as the command line lists them": "operator", "the report on cases": "desk", "VIPs that arrive": "notices",
    "classes of who waits": "lookup",
    "tickets of a branch": "lookup",
    "what people look at": "readmodel", "the door of commands": "commands", "the clock of cases": "commands",
}  # fmt: skip


def test_the_rows_agree_with_the_processes() -> None:
    """What workers, views, closers and explanations read and write by their own lists."""
    worker, views, loader, desk = (BY_NAME[name] for name in ("worker", "views", "loader", "desk"))
    assert set(worker.reads) == {*INPUTS, *STATES, OWNERS, WORLD}
    assert set(worker.writes) == {*WRITTEN_BY_WORKERS, WORLD}
    assert set(views.reads) == {*PROJECTIONS, WORLD}
    assert set(loader.writes) == {*MARKED, CLOSES, "dead-letters", AUDIT_LOG}
    assert set(desk.reads) >= {*INPUTS, *OUTPUTS} and desk.writes == (AUDIT_LOG,)
    commands = BY_NAME["commands"]
    assert set(commands.reads) == {"customers", "command-results", *CLOCK_TOPICS, WORLD} and set(commands.writes) == {
        "crm-actions",
        AUDIT_LOG,
    }
    assert set(BY_NAME["operator"].reads) == set(TOPIC_NAMES)


def test_every_reader_may_read() -> None:
    """Each consumer that the catalogue of contracts knows runs as a principal, which may read its topics."""
    assert CONSUMERS.keys() == RUN_AS.keys()
    for name, principal in RUN_AS.items():
        if principal is not None:
            assert set(CONSUMERS[name].topics) <= set(BY_NAME[principal].reads), name


def test_only_their_writers_write() -> None:
    """The workers' outputs are written by workers alone, but for dead letters; nobody writes what nobody of ours writes."""
    for principal in PRINCIPALS:
        mine = set(principal.writes) - {"dead-letters", WORLD, "notices", AUDIT_LOG}
        if principal.name == "worker":
            assert not mine & {*MARKED, CLOSES}
        else:
            assert not mine & set(WRITTEN_BY_WORKERS)
        assert "tasks" not in mine
        assert (AUDIT_LOG in principal.writes) == (principal.name not in ("worker", "reader")), (
            "who decides keeps the record"
        )
        assert (ACTIONS in principal.writes) == (principal.name in ("commands", "loader", "operator"))
        assert principal.name == "lookup" or "queue-tickets" not in mine


def test_every_command_is_somebody() -> None:
    """And every principal is the one of some command, but for the one of systems that are not ours."""
    assert {entry.principal for entry in COMMANDS.values()} | {"reader"} == set(BY_NAME)
    reader = BY_NAME["reader"]
    assert not (reader.kafka or reader.reads or reader.writes or reader.tables or reader.tickets)


def test_least_rights() -> None:
    """No patterns over topics, no right on the cluster but the operator's, ids and groups of the installation alone."""
    for principal in PRINCIPALS:
        for acl in acls(principal, "east.", "vip"):
            assert acl.kind == "cluster" or acl.name.startswith(("east.", "vip")), acl
            assert acl.prefixed == (acl.kind == "transactionalId")
            assert acl.kind != "cluster" or principal.name == "operator"
            assert "Create" not in acl.operations or principal.manages or acl.name == "east.vip-standing-changelog"


def test_only_workers_fence_workers() -> None:
    """Nobody else may use an id that begins as theirs do, whatever the group is called; but the operator, who takes over."""
    for group in ("tidegauge", "vip"):
        theirs = [acl.name for acl in acls(BY_NAME["worker"], "", group) if acl.kind == "transactionalId"]
        for principal in PRINCIPALS:
            if principal.name not in ("worker", "operator"):
                own = [acl.name for acl in acls(principal, "", group) if acl.kind == "transactionalId"]
                assert not [one for one in own if any(one.startswith(t) or t.startswith(one) for t in theirs)], (
                    principal
                )


def test_redis_rights_cover_the_keys() -> None:
    """Every key that the views spell lies under the pattern of who keeps it; a look-up writes nothing."""
    keys = Keys.of("east.")
    assert redis_acl(BY_NAME["views"], keys.prefix).startswith(f"~{keys.prefix}* ")
    lookup = redis_acl(BY_NAME["lookup"], keys.prefix)
    tickets = redis_acl(BY_NAME["lookup"], keys.prefix, tickets=True).split()
    for key in TicketKeys.of("east.").step("B1"):
        assert any(key.startswith(part.removeprefix("~").rstrip("*")) for part in tickets if part[0] == "~"), key
    for reader in ("lookup", "desk"):
        own, _, sessions = redis_acl(BY_NAME[reader], keys.prefix).partition("(")
        assert "+@write" not in own and sessions.startswith(f"~{keys.prefix}session:* "), reader
    for key in (keys.priority("r"), keys.fresh("t"), keys.lacking("t:1"), keys.world):
        assert any(key.startswith(part.removeprefix("~").rstrip("*")) for part in lookup.split() if part[0] == "~"), key
    notices = redis_acl(BY_NAME["notices"], keys.prefix).split()
    for key in (keys.notice("n"), keys.given_up("n"), keys.waiting):
        assert any(key.startswith(part.removeprefix("~").rstrip("*")) for part in notices if part[0] == "~"), key
    assert redis_acl(BY_NAME["worker"], keys.prefix) == ""
    assert redis_acl(BY_NAME["reader"], keys.prefix) == lookup.partition(" (")[0], (
        "the same keys, and nobody's sessions"
    )


def test_who_may_read_named_keys_is_not_told_their_names() -> None:
    """No rule but that of who has all keys lists them: SCAN, RANDOMKEY and DBSIZE are among what may be read."""
    lists = {"-scan", "-randomkey", "-dbsize", "-@dangerous"}
    for principal in PRINCIPALS:
        for found, rule in (
            (redis_acl(principal, "t:"), principal.redis),
            (redis_acl(principal, "t:", tickets=True), principal.tickets),
        ):
            own, _, sessions = found.partition("(")
            assert rule is None or rule.patterns == ("*",) or lists <= set(own.split()), principal.name
            assert not sessions or lists <= set(sessions.rstrip(")").split()), principal.name


@pytest.mark.parametrize("name", [principal.name for principal in PRINCIPALS])
def test_what_is_printed(name: str) -> None:
    """The same rights as commands, for Strimzi, for Redis and for machines."""
    env = {"TIDEGAUGE_TOPIC_PREFIX": "east.", "TIDEGAUGE_GROUP": "vip"}
    rights = acls(BY_NAME[name], "east.", "vip")
    commands = call("security", "acls", name, env=env)
    assert commands.code == 0 and all(acl.name in commands.out for acl in rights if acl.kind != "cluster")
    found = [
        yaml.safe_load(part) for part in call("security", "acls", name, "--form", "strimzi", env=env).out.split("---\n")
    ]
    users = [user for user in found if user]
    assert [user["metadata"]["name"] for user in users] == [name] * bool(rights)
    for user in users:
        assert len(user["spec"]["authorization"]["acls"]) == len(rights)
    (said,) = json.loads(call("security", "acls", name, "--json", env=env).out)
    assert [acl["name"] for acl in said["acls"]] == [acl.name for acl in rights]
    redis = call("security", "acls", name, "--form", "redis", env=env).out
    assert bool(redis) == (BY_NAME[name].redis is not None) and (not redis or said["redis"] in redis)
    assert bool(said["tickets"]) == (BY_NAME[name].tickets is not None) and said["tickets"] in redis
    grants = call("security", "acls", name, "--form", "postgres", env=env).out
    assert bool(grants) == (BY_NAME[name].tables is not None)
    assert grants.splitlines() == [f"{statement};" for statement in said["postgres"]]


def test_nobody_of_that_name() -> None:
    """Is told who there is."""
    done = call("security", "acls", "root")
    assert done.code == 2 and "worker" in done.err
