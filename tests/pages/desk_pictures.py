"""`python -m tests.pages.desk_pictures`: the pictures of docs/desk.md, out of a real browser, with glyphs of a packaged font."""

from __future__ import annotations

import tempfile
from pathlib import Path

from deploy.embedded.stack import Stack
from deploy.settings import Settings
from tests.desk.desk import cookie_of, open_desk
from tests.pages.chromium import browsing
from tests.pages.pictures import SIZE, taken, with_font


def main() -> None:
    """Take them all."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(
            Path(folder), Settings(database_url=""), with_kafka=False, with_redis=False, with_postgres=True, any_ports=True,
            tether=True,
        ) as stack,
        open_desk(stack.settings.database) as desk,
        browsing() as browser,
    ):  # fmt: skip
        context = browser.new_context(locale="zh-CN", viewport=SIZE)
        with_font(context)
        url = desk.address.replace("http:", "https:")
        context.add_cookies([{"name": "__Host-tidegauge", "value": cookie_of("zhao"), "url": url, "secure": True}])
        page = context.new_page()
        for name, path in (("today", "/"), ("book", "/book")):
            page.goto(desk.address + path)
            taken(page, f"desk-{name}")
        page.get_by_role("link", name="C1").click()
        taken(page, "desk-customer")


if __name__ == "__main__":
    main()
