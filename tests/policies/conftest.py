"""What the tests of policies share: the folder of the bank rules."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def rules_dir() -> Path:
    """The folder of the bank rules: TIDEGAUGE_RULES_DIR, else beside the repository."""
    folder = Path(os.environ.get("TIDEGAUGE_RULES_DIR", ROOT.parent / "shared"))
    if not (folder / "rules-cases.csv").exists():
        message = f"no rules-cases.csv in {folder}: set TIDEGAUGE_RULES_DIR to the folder that holds it"
        pytest.fail(message) if os.environ.get("CI", "").lower() == "true" else pytest.skip(message)
    return folder
