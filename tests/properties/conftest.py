"""One profile for all properties: the same examples on every machine, and no timing."""

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

from policy_under_test import ACME_ONLY, Policy


def pytest_itemcollected(item: pytest.Item) -> None:
    """Each tries many inputs."""
    item.add_marker("sweep")


settings.register_profile(
    "pdp",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("pdp")


@pytest.fixture(scope="session")
def policy() -> Policy:
    """The shipped Rego with the example organisation, as a bundle, on the embedded engine."""
    return Policy(ACME_ONLY)
