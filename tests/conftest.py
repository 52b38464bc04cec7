"""Fixtures for every test, and the rule about skipping."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

REQUIRE_ALL = os.environ.get("PDP_TEST_REQUIRE_ALL") == "1"

settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.register_profile("soak", parent=settings.get_profile("suite"), derandomize=False, max_examples=5_000)
settings.load_profile(os.environ.get("PDP_HYPOTHESIS_PROFILE", "suite"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Under PDP_TEST_REQUIRE_ALL a skipped test has failed: what CI does not run, nobody has shown."""
    outcome = yield
    report = outcome.get_result()
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but PDP_TEST_REQUIRE_ALL=1: {report.longrepr}"
