"""Who runs a command that shows personal data, and what he may see; services.access says so beforehand, and records it."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from deploy.connections.caller import call_id
from deploy.settings import Settings
from services.access.decision import (
    AccessDecision,
    Action,
    Actor,
    DataKind,
    Resource,
    Role,
    decide_access,
    owner_of,
    unit_of,
)
from tidegauge.cli.access.kept import LOG_IN_HOW, development_login, kept_token
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, CommandError

if TYPE_CHECKING:
    from services.access.issuer import Issuer

AS = typer.Option("", "--as", help="Who asks: ROLE:UNIT, such as rm:hq/east/0102 (TIDEGAUGE_ACTOR).")


def actor_of(settings: Settings, given: str = "") -> Actor:
    """Who asks: whoever the token or the login says, where an issuer is set. CommandError.

    Else, on the embedded stack, `given`, then the setting, then the development login.
    """
    if settings.token_issuer:
        return _of_token(settings, given)
    if not settings.own_machine:
        raise CommandError(
            "who asks? The servers are not this machine's own, where --as and TIDEGAUGE_ACTOR would be believed", LOG_IN_HOW,
            BAD_INPUT,
        )  # fmt: skip
    said = given or (settings.actor if "actor" in settings.model_fields_set else "")
    kept = None if said else development_login(settings)
    if kept and ":" not in kept:
        return listed_person(settings, kept)
    return spelt_actor(said or kept or settings.actor)


def spelt_actor(text: str) -> Actor:
    """An actor as ROLE:UNIT, as whom this machine's user comes. CommandError."""
    role, _, unit = text.partition(":")
    if role not in set(Role) or not all(unit_of(unit)) or not unit_of(unit):
        roles = ", ".join(Role)
        hint = f"write it as ROLE:UNIT, such as rm:hq/east/0102; roles: {roles}"
        raise CommandError(f"{text!r} is no actor", hint, BAD_INPUT)
    return Actor(_user(), Role(role), unit_of(unit))


def issuer_of(settings: Settings) -> Issuer:
    """The issuer of tokens of the settings."""
    from services.access.issuer import Issuer

    return Issuer(settings.token_issuer, settings.token_ca, settings.token_keys)


def _of_token(settings: Settings, given: str) -> Actor:
    """Who comes with the token: a machine by its claims, a person as the bank's own lists know him."""
    from services.access.issuer import IssuerAwayError
    from services.access.tokens import TokenRefusedError, login_of, machine_of

    if given:
        raise CommandError("--as counts only where no issuer of tokens is set", "the token says who asks", BAD_INPUT)
    now = datetime.now(UTC)
    issuer = issuer_of(settings)
    try:
        token = settings.token.get_secret_value() if settings.token else kept_token(settings, issuer, now)
        claims = issuer.claims(token, settings.token_audience, int(now.timestamp()))
        found = machine_of(claims) or _person(settings, login_of(claims, settings.token_login_claim), now)
    except TokenRefusedError as problem:
        raise CommandError(
            f"the token does not count: {problem}", "get a new one; see docs/security.md, tokens", BAD_INPUT
        ) from problem
    except IssuerAwayError as problem:
        raise CommandError(
            f"the issuer of tokens gives no answer: {problem}", "see TIDEGAUGE_TOKEN_ISSUER", FAILED_CHECK
        ) from problem
    if found is None:
        hint = "`tidegauge staff import` takes the bank's list"
        raise CommandError("the token is of somebody who is on no list of staff", hint, BAD_INPUT)
    return found


def listed_person(settings: Settings, login: str) -> Actor:
    """A person of the list, as whom a development login was made. CommandError."""
    found = _person(settings, login, datetime.now(UTC))
    if found is None:
        raise CommandError(
            f"{login} is on no list of staff", "`tidegauge login --as` another, or `tidegauge logout`", BAD_INPUT
        )
    return found


def _person(settings: Settings, login: str, now: datetime) -> Actor | None:
    from deploy.connections.database import connected
    from services.database.migrations import check_migrated
    from services.staff.people import person_of

    with connected(settings.database) as connection:
        check_migrated(connection)
        return person_of(connection, login, now.astimezone(settings.tz).date())


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
            _record(settings, actor, action, resource, decision, about)
        if not decision.allowed:
            raise CommandError(
                f"role {actor.role} may not {action} {kind}", "see docs/cli.md, who asks; --as names another", BAD_INPUT
            )
    return actor


def decided(settings: Settings, actor: Actor, action: Action, resource: Resource, about: str) -> bool:
    """Whether the actor may do this, on record: of one customer, branch or record. OSError where that can't be kept."""
    decision = decide_access(actor, action, resource)
    if decision.audit:
        _record(settings, actor, action, resource, decision, about)
    return decision.allowed


def permitted(settings: Settings, kind: DataKind, about: str, given: str = "", action: Action = Action.WRITE) -> Actor:
    """Who changes something of the installation, on record before anything is looked up. CommandError for who may not.

    about: what is changed, in a few words. OSError where it can't be recorded: then nothing is done.
    """
    actor = actor_of(settings, given)
    if not decided(settings, actor, action, Resource(kind, owner_of(None)), about):
        unit = "/".join(actor.unit)
        hint = "see docs/security.md, who may do what; --as or TIDEGAUGE_ACTOR names another"
        raise CommandError(f"{actor.role} of {unit} may not {action} {kind}", hint, BAD_INPUT)
    return actor


def sees(actor: Actor, action: Action, kind: DataKind, branch: str | None) -> bool:
    """Whether a list that is on record shows the actor a customer of a branch; None: of no branch, the head office's."""
    return decide_access(actor, action, Resource(kind, owner_of(branch))).allowed


def _record(
    settings: Settings, actor: Actor, action: Action, resource: Resource, decision: AccessDecision, about: str
) -> None:
    """Keep a decision with the id of this call. OSError where that can't be: then nothing is shown or done."""
    from services.access.writer import DecisionTrail  # here, as `--help` needs no Kafka

    DecisionTrail(settings).record(actor, action, resource, decision, about, call_id())


def unknown(customer: str, actor: Actor) -> CommandError:
    """The one answer for a customer who does not exist and for one of another unit."""
    unit = "/".join(actor.unit)
    hint = "are number, servers and actor (--as) right?"
    return CommandError(f"no customer {customer} is known to {actor.role} of {unit}", hint, BAD_INPUT)
