"""What is kept by its digest, so that a decision can be made again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Artefact:
    """A thing kept by digest for replay: a bundle, organisation data, a set index."""

    digest: str
    kind: str  # "bundle" | "registry" | "waivers" | "config"
    data: bytes
