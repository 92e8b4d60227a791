"""What all simulations need."""

import pytest


@pytest.fixture
def _silence(caplog: pytest.LogCaptureFixture) -> None:
    """Drop the log: the product reports what goes wrong, thousands of times."""
    caplog.set_level("CRITICAL", "jobmaster")
