"""`python -m tests.queue.served PORT`: the ticket interface in a process of its own, for a test that kills or weighs it.

It looks classes up where TIDEGAUGE_REDIS_URL is set; else it knows nobody.
"""

from __future__ import annotations

import sys

from deploy.settings import Settings
from services.assembly import new_lookup
from services.queue.server import listening, server
from tests.queue.test_service import application

if __name__ == "__main__":
    settings = Settings()
    app = application(settings, new_lookup(settings) if settings.redis_url else None)
    server(app, 64).run([listening("127.0.0.1", int(sys.argv[1]))])
