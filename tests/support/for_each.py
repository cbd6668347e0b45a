"""A test that goes over cases: one test, all its cases run, and each that fails is named.

For data that a test only loops over. What needs fixtures, a time limit or a result of its own for each case is for
`pytest.mark.parametrize`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

# a case that is skipped would not be seen among the others, so it fails as well
FAILURES = (Exception, pytest.fail.Exception, pytest.skip.Exception)


def for_each(
    names: str | Sequence[str], cases: Iterable[Any], ids: Callable[[Any], object] = repr
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates a test; takes names and cases as `pytest.mark.parametrize` does."""
    wanted = names.replace(",", " ").split() if isinstance(names, str) else list(names)
    listed = [dict(zip(wanted, case if len(wanted) > 1 else (case,), strict=True)) for case in cases]
    assert listed, f"no case for {wanted}"

    def decorated(test: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(test)
        def each(*self: Any, **fixtures: Any) -> None:
            with _all(len(listed)) as failed:
                for case in listed:
                    with _one(case, ids, failed):
                        test(*self, **fixtures, **case)

        @functools.wraps(test)
        async def each_awaited(*self: Any, **fixtures: Any) -> None:
            with _all(len(listed)) as failed:
                for case in listed:
                    with _one(case, ids, failed):
                        await test(*self, **fixtures, **case)

        over: Any = each_awaited if inspect.iscoroutinefunction(test) else each
        signature = inspect.signature(test)
        left = [parameter for name, parameter in signature.parameters.items() if name not in wanted]
        over.__signature__ = signature.replace(parameters=left)  # what pytest is to bring
        return over  # type: ignore[no-any-return]

    return decorated


@contextmanager
def _all(count: int) -> Iterator[list[BaseException]]:
    failed: list[BaseException] = []
    yield failed
    if failed:
        raise BaseExceptionGroup(f"{len(failed)} of {count} cases", failed)


@contextmanager
def _one(case: dict[str, Any], ids: Callable[[Any], object], failed: list[BaseException]) -> Iterator[None]:
    try:
        yield
    except FAILURES as failure:
        failure.add_note("case " + ", ".join(f"{name}={str(ids(value))[:200]}" for name, value in case.items()))
        failed.append(failure)
