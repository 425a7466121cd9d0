"""Live systems of this folder's tests: a broker's topics with names of their own, and nothing left behind.

With TESTS_SECURED=1 they run on brokers with TLS, users and rights, each of their processes as its own principal.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from bench.measure.wire import access, grant
from deploy.embedded.stack import Stack
from deploy.settings import Settings
from tests.conftest import HEAP_MB, Kafka
from tests.integration.apicurio import Apicurio
from tests.integration.live import Live


@pytest.fixture(scope="session")
def apicurio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a schema registry by other makers, whose ids are not those of the files."""
    with Apicurio(tmp_path_factory.mktemp("apicurio")) as registry:
        yield registry.url


@pytest.fixture(scope="session")
def live_stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """The brokers of live systems: those of the session, or secured ones where TESTS_SECURED is 1."""
    if os.environ.get("TESTS_SECURED") != "1":
        yield request.getfixturevalue("kafka")
        return
    given, folder = Settings(bootstrap_servers="", kafka_heap_mb=HEAP_MB), tmp_path_factory.mktemp("secured")
    with Stack(folder, given, with_redis=False, with_topics=False, any_ports=True, tether=True, secure=True) as stack:
        yield Kafka(stack.bootstrap_servers, stack)


@pytest.fixture(scope="module")
def make_live(live_stack: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Live]]:
    """`make_live(**settings)`: a live system with topics and a group of its own, until the module's end.

    shadow: a group that works beside it. A worker that has nothing to do asks the broker a hundred times a second, so none is
    left running.
    """
    stack = live_stack.stack
    with ExitStack() as around:

        def make(shadow: str = "", **more: Any) -> Live:
            name = f"i{uuid.uuid4().hex[:8]}"
            own = {"bootstrap_servers": live_stack.bootstrap_servers, "topic_prefix": f"{name}.", "group": name}
            folder = tmp_path_factory.mktemp(name) / "data"
            given = own | (access(stack) if stack else {}) | more
            settings = Settings(data_dir=folder, reference_key="a reference key for tests, 32 bytes long", **given)
            if stack:
                grant(stack, settings.topic_prefix, settings.group)
            if stack and shadow:
                for prefix in (settings.topic_prefix, f"{settings.topic_prefix}shadow-{shadow}-"):
                    grant(stack, prefix, shadow)
            return around.enter_context(Live(settings, who=partial(access, stack) if stack else None))

        yield make
