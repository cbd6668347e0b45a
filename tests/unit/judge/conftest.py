from collections.abc import Iterator

import pytest
from support.llm import LlmStandIn
from support.service_loop import pytest_asyncio_loop_factories  # noqa: F401 - a hook


@pytest.fixture(scope="module")
def _model() -> Iterator[LlmStandIn]:
    with LlmStandIn() as llm:
        yield llm


@pytest.fixture
def llm(_model: LlmStandIn) -> LlmStandIn:
    """A model that allows until it is told otherwise."""
    _model.forget()
    return _model
