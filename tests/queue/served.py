"""`python -m tests.queue.served PORT`: the ticket interface in a process of its own, for a test that kills it."""

from __future__ import annotations

import sys

from deploy.settings import Settings
from services.queue.server import listening, server
from tests.queue.test_service import application

if __name__ == "__main__":
    server(application(Settings()), 64).run([listening("127.0.0.1", int(sys.argv[1]))])
