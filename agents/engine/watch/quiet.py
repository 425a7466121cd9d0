"""The log of a process that runs on, in which its last line is not lost.

Faust and mode log the traceback of whatever ends them once for each of their services, before the one line that helps.
"""

import logging
import sys
from typing import Final

FRAMEWORKS: Final = ("faust", "mode", "aiokafka", "asyncio", "kafka", "uvicorn")
ENDINGS: Final = (
    "Crashed reason=",
    "Error: %r",
    "We experienced a crash!",
    "Unexpected error in sender routine",
    "Error while stopping child",
    "exception was never retrieved",
)
"""What is in the frameworks' own words about an end."""
SERVICE: Final = "[^"  # how mode begins what a service says, whatever its logger
OWN_FAULT: Final = "unexpected; state dropped"

LOG_FORMAT: Final = "[%(asctime)s] [%(process)s] [%(levelname)s] %(message)s"


class QuietFrameworks(logging.Filter):
    """Takes the frameworks' tracebacks out of the log, and their words about an end that has a line of its own."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for what is left out."""
        text = record.getMessage()
        if any(ending in str(record.msg) for ending in ENDINGS):
            return False
        service = text.startswith(SERVICE) and OWN_FAULT not in text
        if service or record.name.split(".")[0] in FRAMEWORKS:
            if record.exc_info and record.exc_info[1] is not None and record.name.startswith("uvicorn"):
                record.msg, record.args = f"{text.strip()}: {record.exc_info[1]!r}", ()
            record.exc_info = record.exc_text = record.stack_info = None
        return True


class OncePer(logging.Filter):
    """Lets a message pass once in some seconds; aiokafka tells of a broker that is away a hundred times a second."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.passed_at = seconds, dict[object, float]()

    def filter(self, record: logging.LogRecord) -> bool:
        """True for the first of its kind."""
        if record.created < self.passed_at.get(record.msg, 0.0) + self.seconds:
            return False
        self.passed_at[record.msg] = record.created
        return True


def _thin_out(package: str, seconds: float = 5.0) -> None:
    """Let each logger of a package say a thing at most once in some seconds; warnings are about retries, left out."""
    logging.getLogger(package).setLevel(logging.ERROR)
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == package:
            logging.getLogger(name).addFilter(OncePer(seconds))


def set_up_log(level: str) -> None:
    """The log of a process that runs on, on standard error: no colours, and from WARNING on no tracebacks but our own."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    number = logging.getLevelNamesMapping()[level.upper()]
    if number >= logging.WARNING:
        handler.addFilter(QuietFrameworks())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(number)
    _thin_out("aiokafka")
