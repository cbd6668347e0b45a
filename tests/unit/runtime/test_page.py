from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from pdp.runtime.telemetry.catalogue import STAGES

ROOT = Path(__file__).parents[3]


def test_picture_shows_every_stage() -> None:
    texts = [node.text for node in ET.parse(ROOT / "docs" / "img" / "trace.svg").iter() if node.text]
    shown = sorted(text for text in texts if text.startswith("pdp."))
    assert shown == sorted(f"pdp.{stage.name}" for stage in STAGES)
