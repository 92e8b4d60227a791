"""The pytest plug-in."""

import pytest

pytest.register_assert_rewrite("jobmaster_testing.contracts")
