"""A misspelt switch is refused: it would stop nothing while everybody believes that it did."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.world import running

from pdp.core.errors import InvalidRequest
from pdp.core.request import Caller, Role
from pdp.service.admin import SwitchAsk

OPERATOR = Caller("operator", "acme", frozenset({Role.OPERATE}), frozenset())


async def test_names_are_looked_up(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        admin = world.process.services.admin
        for ask, field in (
            (SwitchAsk("server", "gti", "", True, ""), "switch.server"),
            (SwitchAsk("tool", "gti", "git_status", True, ""), "switch.server"),
            (SwitchAsk("tool", "git", "git_staus", True, ""), "switch.value"),
        ):
            with pytest.raises(InvalidRequest) as refused:
                await admin.set_switch(ask, OPERATOR)
            assert refused.value.field == field
        epoch = world.process.store.switch_epoch()
        await admin.set_switch(SwitchAsk("tool", "git", "git_status", True, ""), OPERATOR)
        # what is gone from the registry can still be released
        await admin.set_switch(SwitchAsk("server", "gone", "", False, ""), OPERATOR)
        assert world.process.store.switch_epoch() > epoch
