"""Users, passwords and rights of the embedded stack, secured: made anew at each `up`, so that they are what the table says."""

import hashlib
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from deploy.errors import StackError
from deploy.security.authority import SecureFolder
from deploy.security.principals import PRINCIPALS, Acl, acls, redis_acl

ANSWER_S: Final = 20.0
ITERATIONS: Final = 4096
_RESOURCES: Final = {
    "topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactionalId": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}  # fmt: skip
_OPERATIONS: Final = {
    "Read": AclOperation.READ, "Write": AclOperation.WRITE, "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE, "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}  # fmt: skip


def apply(administrator: AdminClient, folder: SecureFolder, prefix: str, group: str) -> None:
    """Give each principal its password and the rights of the table. StackError where Kafka takes it not."""
    wanted = {
        binding
        for principal in PRINCIPALS
        for acl in acls(principal, prefix, group)
        for binding in _bindings(principal.name, acl)
    }
    credentials = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
    changes: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(principal.name, credentials, folder.password(principal.name).encode())
        for principal in PRINCIPALS
        if principal.kafka
    ]
    try:
        for change in administrator.alter_user_scram_credentials(changes, request_timeout=ANSWER_S).values():
            change.result(2 * ANSWER_S)
        there = set(administrator.describe_acls(_ANY, request_timeout=ANSWER_S).result(2 * ANSWER_S))
        if missing := wanted - there:
            for made in administrator.create_acls(list(missing), request_timeout=ANSWER_S).values():
                made.result(2 * ANSWER_S)
    except (KafkaException, TimeoutError) as problem:
        raise StackError(f"users and rights could not be made: {problem}") from problem


_NO_MATTER: Final[Any] = None  # its types say text
_ANY: Final = AclBindingFilter(
    ResourceType.ANY, _NO_MATTER, ResourcePatternType.ANY, _NO_MATTER, _NO_MATTER, AclOperation.ANY, AclPermissionType.ANY,
)  # fmt: skip


def _bindings(principal: str, acl: Acl) -> list[AclBinding]:
    """An ACL as Kafka's client has it: one for each operation."""
    pattern = ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL
    return [
        AclBinding(
            _RESOURCES[acl.kind], acl.name, pattern, f"User:{principal}", "*", _OPERATIONS[name], AclPermissionType.ALLOW
        )
        for name in acl.operations
    ]  # fmt: skip


def redis_users(folder: SecureFolder, topic_prefix: str, *, tickets: bool = False) -> tuple[str, ...]:
    """The lines of a Redis server's configuration: each principal that has business there, by the hash of its password.

    tickets: of the server for tickets, not of the views'.
    """
    keys = f"tidegauge@{topic_prefix}:" if topic_prefix else "tidegauge:"
    lines = ["user default off"]
    for principal in PRINCIPALS:
        if rights := redis_acl(principal, keys, tickets=tickets):
            digest = hashlib.sha256(folder.password(principal.name).encode()).hexdigest()
            lines.append(f"user {principal.name} on #{digest} {rights}")
    return tuple(lines)
