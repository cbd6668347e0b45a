"""Taking a tool out of use, and back: a change of the draft, which counts once both have signed it."""

from __future__ import annotations

from pathlib import Path

from pdp.core.errors import RegistryFault
from pdp.core.names import nearest
from pdp.registry import files
from pdp.registry.diff import newest_version
from pdp.registry.documents import State
from pdp.registry.draft import Draft, base_of, write_file
from pdp.registry.sign import load_manifest


def set_state(folder: Path, server: str, name: str, state: State) -> Draft | None:
    """Write a draft in which the tool has that state; None when it has it already.

    Raises RegistryFault: `state.nothing` (no set here), `state.unknown_tool` with the nearest right name, and what
    `load_manifest` says when a tool that cannot be read is to be used again."""
    newest = newest_version(folder).draft
    if newest is None:
        raise RegistryFault("state.nothing", "There is neither a draft nor a set here; begin with `pdp tools pin`.")
    base = base_of(folder, newest.tenant)
    entry = base.tool(server, name)
    if entry is None:
        raise RegistryFault("state.unknown_tool", f"{server}/{name}: is not in the set{_near(base, server, name)}")
    if entry.state == state:
        return None
    if state == "active":
        load_manifest(folder, entry, base.tenant)
    tools = [t.model_copy(update={"state": state}) if t == entry else t for t in base.tools]
    draft = base.model_copy(update={"tools": tools})
    write_file(folder / files.DRAFT_FILE, draft.encoded())
    return draft


def _near(base: Draft, server: str, name: str) -> str:
    known = [f"{t.server}/{t.name}" for t in base.tools]
    near = nearest(f"{server}/{name}", known)
    return f"; did you mean `{near}`?" if near else "; `pdp tools verify` lists those that are"
