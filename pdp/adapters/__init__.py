"""Import paths that programs have from before the rooms: `pdp.adapters.mcp` and `pdp.adapters.frameworks`.

They are the modules of `pdp.client.mcp` and `pdp.client.frameworks`, the same objects, with a DeprecationWarning. To
leave with 0.3.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

from typing_extensions import override

_MOVED = ("pdp.adapters.mcp", "pdp.adapters.frameworks")


class _Moved(MetaPathFinder, Loader):
    """Finds a module under its old name."""

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        moved = fullname in _MOVED or fullname.startswith(tuple(f"{name}." for name in _MOVED))
        return ModuleSpec(fullname, self) if moved and find_spec(_now(fullname)) is not None else None

    @override
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        name = _now(spec.name)
        warnings.warn(f"{spec.name} is {name} now", DeprecationWarning, stacklevel=2)
        module = import_module(name)
        spec.loader_state = module.__spec__
        return module

    @override
    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state  # its own again


def _now(name: str) -> str:
    return name.replace("pdp.adapters.", "pdp.client.", 1)


# first: by its package's path, Python would find the file of a moved module and make a second one of it
sys.meta_path.insert(0, _Moved())
