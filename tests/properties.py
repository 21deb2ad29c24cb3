"""Settings of hypothesis for the tests of properties: the same examples every time, and no limit on their time."""

from __future__ import annotations

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is not installed here: make install")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

settings.register_profile("pvmc", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("pvmc")

__all__ = ["given", "st"]
