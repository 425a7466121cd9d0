"""A path that is asked by a method it does not have says which ones it has (RFC 9110, 15.5.6)."""

from __future__ import annotations

import json
import re

import pytest
from fastapi.testclient import TestClient

from tests.queue import description

CLIENT = TestClient(description.described(), follow_redirects=False)
PATHS = json.loads(description.FILE.read_text())["paths"]


@pytest.mark.parametrize("path", PATHS)
def test_a_wrong_method_is_told_the_right_ones(path: str) -> None:
    answer = CLIENT.request("PATCH", re.sub(r"{[^}]*}", "1", path))
    assert answer.status_code == 405
    assert answer.headers["Allow"].split(", ") == sorted(map(str.upper, PATHS[path]))
