"""Live systems of this folder's tests: a broker's topics with names of their own, and nothing left behind."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from deploy.settings import Settings
from tests.conftest import Kafka
from tests.integration.apicurio import Apicurio
from tests.integration.live import Live


@pytest.fixture(scope="session")
def apicurio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a schema registry by other makers, whose ids are not those of the files."""
    with Apicurio(tmp_path_factory.mktemp("apicurio")) as registry:
        yield registry.url


@pytest.fixture(scope="module")
def make_live(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Live]]:
    """`make_live(**settings)`: a live system with topics and a group of its own, until the module's end.

    A worker that has nothing to do asks the broker a hundred times a second, so none is left running.
    """
    with ExitStack() as around:

        def make(**more: Any) -> Live:
            name = f"i{uuid.uuid4().hex[:8]}"
            own = {"bootstrap_servers": kafka.bootstrap_servers, "topic_prefix": f"{name}.", "group": name}
            folder = tmp_path_factory.mktemp(name) / "data"
            return around.enter_context(
                Live(Settings(data_dir=folder, reference_key="a reference key for tests, 32 bytes long", **own | more))
            )

        yield make
