"""Who runs a command that shows personal data, and what he may see; services.access says so beforehand, and records it."""

from __future__ import annotations

import getpass

import typer

from deploy.settings import Settings
from services.access.audit import AUDIT_FILE, AuditFile, AuditTrail
from services.access.decision import Action, Actor, DataKind, Resource, Role, decide_access, owner_of, unit_of
from tidegauge.cli.output import BAD_INPUT, CommandError

AS = typer.Option("", "--as", help="Who asks: ROLE:UNIT, such as rm:hq/east/0102 (TIDEGAUGE_ACTOR).")


def actor_of(settings: Settings, given: str = "") -> Actor:
    """Who asks: `given`, else the setting. CommandError where that is no role and unit."""
    text = given or settings.actor
    role, _, unit = text.partition(":")
    if role not in set(Role) or not all(unit_of(unit)) or not unit_of(unit):
        roles = ", ".join(Role)
        hint = f"write it as ROLE:UNIT, such as rm:hq/east/0102; roles: {roles}"
        raise CommandError(f"{text!r} is no actor", hint, BAD_INPUT)
    return Actor(_user(), Role(role), unit_of(unit))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def asked(
    settings: Settings, given: str, action: Action, *kinds: DataKind, about: str = "", first: bool = False
) -> Actor:
    """The actor, if his role may do this at all; CommandError, before anything has been looked up, if not.

    about: what is recorded beside each kind. first: the decision about one customer follows, and that is recorded; here a
    refusal alone. OSError where a record can't be kept.
    """
    actor = actor_of(settings, given)
    for kind in kinds:
        resource = Resource(kind, actor.unit)
        decision = decide_access(actor, action, resource)
        if decision.audit and not (first and decision.allowed):
            audit_trail(settings).record(actor, action, resource, decision, about)
        if not decision.allowed:
            raise CommandError(
                f"role {actor.role} may not {action} {kind}", "see docs/cli.md, who asks; --as names another", BAD_INPUT
            )
    return actor


def decided(settings: Settings, actor: Actor, action: Action, resource: Resource, about: str) -> bool:
    """Whether the actor may do this, on record: of one customer, branch or record. OSError where that can't be kept."""
    decision = decide_access(actor, action, resource)
    if decision.audit:
        audit_trail(settings).record(actor, action, resource, decision, about)
    return decision.allowed


def sees(actor: Actor, action: Action, kind: DataKind, branch: str | None) -> bool:
    """Whether a list that is on record shows the actor a customer of a branch; None: of no branch, the head office's."""
    return decide_access(actor, action, Resource(kind, owner_of(branch))).allowed


def audit_trail(settings: Settings) -> AuditTrail:
    """Where decisions of this machine are recorded."""
    return AuditFile(settings.data_dir / AUDIT_FILE)


def unknown(customer: str, actor: Actor) -> CommandError:
    """The one answer for a customer who does not exist and for one of another unit."""
    unit = "/".join(actor.unit)
    hint = "are number, servers and actor (--as) right?"
    return CommandError(f"no customer {customer} is known to {actor.role} of {unit}", hint, BAD_INPUT)
