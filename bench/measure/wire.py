"""How a process gets at a secured stack under names of its own: as which principal, with which rights."""

from __future__ import annotations

from deploy import admin
from deploy.connections.wire import SASL_TLS, Brokers, Certificates, Wire
from deploy.embedded.kafka import SUPER_USER
from deploy.embedded.stack import Stack
from deploy.security import users
from deploy.security.authority import SecureFolder


def grant(stack: Stack, prefix: str, group: str) -> None:
    """Give every principal its rights on the topics under a prefix, and on a group. StackError; nothing for a plain stack."""
    if stack.secure:
        folder = SecureFolder(stack.data_dir)
        wire = Wire(
            SASL_TLS, Certificates("TIDEGAUGE_KAFKA", folder.ca), user=SUPER_USER, password=folder.password(SUPER_USER)
        )
        users.apply(admin.client(Brokers(stack.bootstrap_servers, wire)), folder, prefix, group)


def access(stack: Stack, principal: str = SUPER_USER) -> dict[str, str]:
    """The settings, by their names, with which a principal gets at the brokers; none for a plain stack."""
    if not stack.secure:
        return {}
    folder = SecureFolder(stack.data_dir)
    return {
        "kafka_security_protocol": SASL_TLS, "kafka_ca": str(folder.ca), "kafka_user": principal,
        "kafka_password": folder.password(principal),
    }  # fmt: skip


def in_environment(settings: dict[str, str]) -> dict[str, str]:
    """The same as variables."""
    return {f"TIDEGAUGE_{name.upper()}": value for name, value in settings.items()}
