"""What stores in memory can do."""

from __future__ import annotations

from typing import Final

from jobmaster.contracts import Capabilities

IN_MEMORY: Final = Capabilities(notifications=True, durable=False, shared=False)
"""They notify their own process at once, and keep nothing."""
