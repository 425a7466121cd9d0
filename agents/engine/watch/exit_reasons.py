"""How a worker ends: what it says in its last line."""

import traceback
from pathlib import Path
from typing import Final

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InvalidTransactionTimeout,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from agents.engine.job import FatalError

OUR_CODE: Final = Path(__file__).resolve().parents[3]


def not_taken(problem: KafkaError, group: str, state: str, transaction_ms: int) -> FatalError | None:
    """What to do about an answer of the brokers that comes back however often it is tried; None for any other.

    state: what changelog and transactional ids begin with.
    """
    who = "the brokers refuse this user"
    if isinstance(problem, GroupAuthorizationFailedError):
        return FatalError(f"{who} the consumer group {group}: allow READ on it")
    if isinstance(problem, TransactionalIdAuthorizationFailed):
        return FatalError(
            f"{who} the transactional ids {state}-0 and on: allow WRITE and DESCRIBE on the prefix {state}"
        )
    if isinstance(problem, TopicAuthorizationFailedError):
        topics = ", ".join(
            sorted(str(name) for arg in problem.args for name in ([arg] if isinstance(arg, str) else arg))
        )
        return FatalError(
            f"{who} the topic {topics or '(not named)'}: allow READ on inputs, WRITE on outputs, both on {state}"
        )
    if isinstance(problem, InvalidTransactionTimeout):
        return FatalError(
            f"the brokers' transaction.max.timeout.ms is below the {transaction_ms} ms of this worker's transactions: "
            f"raise it to {transaction_ms} or more"
        )
    return None


def too_large(topic: str, size: int, wanted: int) -> FatalError:
    """A topic refuses what has to be written to it; size: of the batch, bytes."""
    return FatalError(
        f"topic {topic} refuses a batch of {size} bytes, more than its max.message.bytes: "
        f"set that to {wanted} (kafka-configs --alter --topic {topic} --add-config max.message.bytes={wanted})"
    )


def unforeseen(problem: BaseException, where: str) -> FatalError:
    """A fault of Tidegauge's own, with the place in its code."""
    text = " ".join(str(problem).split())
    return FatalError(
        f"{where}: unexpected {type(problem).__name__}{': ' * bool(text)}{text} at {place_of(problem)}: "
        "report it with the log; a worker that is started again goes on from the last commit"
    )


def place_of(problem: BaseException) -> str:
    """Where in our own code it came from, such as `agents/standing/job.py:112`."""
    frames = [
        frame for frame in traceback.extract_tb(problem.__traceback__) if Path(frame.filename).is_relative_to(OUR_CODE)
    ]
    ours = [frame for frame in frames if "site-packages" not in frame.filename]
    return f"{Path(ours[-1].filename).relative_to(OUR_CODE)}:{ours[-1].lineno}" if ours else "an unknown place"
