from pathlib import Path

import pytest

from devtools.bench import judge_load
from devtools.bench.harness import Rig, family, memory_mb


@pytest.mark.starts_server
def test_calls_wait_for_a_slow_model_while_another_is_answered(tmp_path: Path) -> None:
    said: list[str] = []
    with Rig() as rig:
        court = judge_load.court(rig, tmp_path / "c", 0.3, said.append, calls=4)
        with court.waiting():
            found = rig.round(court.server, 0.2, in_flight=1)
            assert memory_mb(court.server.pid) > 0
            assert len(family(court.server.pid)) >= 3, "the server, its judge and a policy worker"
        with court.waiting():
            pass
    assert set(found.seen.answers) == {"EFFECT_ALLOW"}
    assert court.answers == {"EFFECT_ALLOW": 8}
    assert said
