"""What a call will do, in sentences made from the signed manifest alone: never from arguments or descriptions,
which may be written to persuade."""

from __future__ import annotations

from pdp.core.target import TargetFact

_FLOWS = {
    "network": "to the network",
    "email": "out by e-mail",
    "message": "out as a message",
    "filesystem": "into the file system",
    "process": "into a program that runs",
    "database": "into a database",
    "other": "to another system",
}


def effects(target: TargetFact) -> tuple[str, ...]:
    """Sentences, the weightiest first. What a manifest leaves open counts as the worst."""
    hints = target.annotations
    said = [_change(target)]
    if not hints.read_only and not hints.idempotent:
        said.append("Doing it again has a further effect.")
    for sink in target.sinks:
        what = f"the argument {sink.argument}" if sink.argument else "data"
        said.append(f"Sends {what} {_FLOWS.get(sink.kind, _FLOWS['other'])}.")
    if hints.open_world:
        said.append("Deals with systems outside the organisation.")
    if target.permissions:
        said.append(f"Uses the permissions {', '.join(target.permissions)}.")
    if target.labels:
        said.append(f"What it returns is {' and '.join(target.labels)}.")
    return tuple(said)


def _change(target: TargetFact) -> str:
    if not target.check.ok:
        return "Nothing is known about what it does."
    if target.annotations.read_only:
        return "Only reads."
    if target.annotations.destructive:
        return "May delete or overwrite what is there."
    return "Adds or changes data, without deleting any."
