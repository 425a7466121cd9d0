"""`tidegauge security`: the least rights of each kind of process, for the brokers, Redis and PostgreSQL."""

from enum import StrEnum
from typing import Any

import typer
import yaml

from deploy.security.principals import BY_NAME, Acl, Principal, acls, redis_acl, table_rights
from deploy.settings import Settings
from services.views.keys import Keys
from tidegauge.cli.output import JSON, CommandError, console, emit

app = typer.Typer(no_args_is_help=True)


class AclForm(StrEnum):
    """What rights are printed as."""

    COMMANDS = "commands"
    STRIMZI = "strimzi"
    REDIS = "redis"
    POSTGRES = "postgres"


@app.callback()
def root() -> None:
    """What an installation's principals may do."""


@app.command("acls")
def print_acls(
    names: list[str] | None = typer.Argument(None, metavar="[PRINCIPAL]...", help="Of these alone; all otherwise."),
    form: AclForm = typer.Option(
        AclForm.COMMANDS, "--form", help="kafka-acls commands, KafkaUser resources, Redis ACLs, or PostgreSQL's GRANTs."
    ),
    cluster: str = typer.Option("tidegauge", "--cluster", help="Strimzi's name of the cluster."),
    as_json: bool = JSON,
) -> None:
    """Print the least rights of each principal, with the settings' topic prefix and group.

    A shadow's workers need those of `worker` with its group as TIDEGAUGE_GROUP, beside their own.
    """
    settings, chosen = Settings(), [_known(name) for name in names or BY_NAME]
    rights = {one.name: acls(one, settings.topic_prefix, settings.group) for one in chosen}
    prefix = Keys.of(settings.topic_prefix).prefix
    if as_json:
        emit([
            {"principal": one.name, "does": one.does, "acls": [acl._asdict() for acl in rights[one.name]],
             "redis": redis_acl(one, prefix), "tickets": redis_acl(one, prefix, tickets=True), "postgres": table_rights(one)}
            for one in chosen
        ])  # fmt: skip
        return
    for one in chosen:
        if form is AclForm.POSTGRES:
            for statement in table_rights(one):
                console.print(f"{statement};")
        elif form is AclForm.REDIS:
            if one.redis is not None:
                console.print(f"ACL SETUSER {one.name} on >PASSWORD {redis_acl(one, prefix)}")
            if one.tickets is not None:
                rights_there = redis_acl(one, prefix, tickets=True)
                console.print(f"# on the server for tickets\nACL SETUSER {one.name} on >PASSWORD {rights_there}")
        elif rights[one.name]:
            console.print(
                _strimzi(one, rights[one.name], cluster)
                if form is AclForm.STRIMZI
                else _commands(one, rights[one.name])
            )


def _known(name: str) -> Principal:
    if name not in BY_NAME:
        raise CommandError(f"there is no principal {name!r}", f"one of {', '.join(BY_NAME)}")
    return BY_NAME[name]


def _commands(principal: Principal, rights: list[Acl]) -> str:
    """Commands for kafka-acls, those of one kind of right together."""
    alike: dict[tuple[str, bool, tuple[str, ...]], list[str]] = {}
    for acl in rights:
        alike.setdefault((acl.kind, acl.prefixed, acl.operations), []).append(acl.name)
    flags = {"topic": "--topic", "group": "--group", "transactionalId": "--transactional-id"}
    lines = [f"# {principal.name}: {principal.does}"]
    for (kind, prefixed, operations), names in alike.items():
        things = ["--cluster"] if kind == "cluster" else [f"{flags[kind]} '{name}'" for name in names]
        words = [
            "kafka-acls --bootstrap-server $BROKERS --command-config admin.properties --add",
            f"--allow-principal User:{principal.name}", *(f"--operation {name}" for name in operations),
            *(["--resource-pattern-type prefixed"] if prefixed else []), *things,
        ]  # fmt: skip
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


def _strimzi(principal: Principal, rights: list[Acl], cluster: str) -> str:
    """A KafkaUser of Strimzi, with a SCRAM password that its operator makes."""
    entries = [
        {
            "resource": {"type": acl.kind} if acl.kind == "cluster" else _resource(acl),
            "operations": list(acl.operations),
        }
        for acl in rights
    ]
    resource: dict[str, Any] = {
        "apiVersion": "kafka.strimzi.io/v1beta2", "kind": "KafkaUser",
        "metadata": {"name": principal.name, "labels": {"strimzi.io/cluster": cluster}},
        "spec": {"authentication": {"type": "scram-sha-512"}, "authorization": {"type": "simple", "acls": entries}},
    }  # fmt: skip
    return "---\n" + yaml.safe_dump(resource, sort_keys=False, default_flow_style=None, width=120).rstrip()


def _resource(acl: Acl) -> dict[str, str]:
    return {"type": acl.kind, "name": acl.name, "patternType": "prefix" if acl.prefixed else "literal"}
