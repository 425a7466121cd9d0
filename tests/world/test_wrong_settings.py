"""The table of wrong settings is whole."""

from deploy.settings import Settings
from tests.world.wrong_settings import AS_PROCESS, READING, VALUES


def test_every_setting_has_a_wrong_value() -> None:
    """A new setting gets one, and the commands that must refuse it are known."""
    assert set(VALUES) == set(Settings.model_fields)
    assert set(AS_PROCESS) <= set(VALUES) and set(AS_PROCESS.values()) <= set(READING)
    assert set().union(*(reading.refuses for reading in READING.values())) <= set(VALUES)
