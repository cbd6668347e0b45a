"""Keep the golden numbers of ``pdp.v1`` in ``tests/vectors/proto_v1.json``.

``python proto/snapshot.py`` adds what is new in the stubs and refuses (exit 1) to follow a number, type or
signature that changed or went away; ``--check`` changes nothing and fails also when something new is not in
the file yet. Works between releases, where ``buf breaking`` has nothing to compare with.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, ServiceDescriptor

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "vectors" / "proto_v1.json"

# One flat table: a dotted name to a short line, so that a difference names what differs.
Snapshot = dict[str, str]

_SCALARS = {
    value: name.removeprefix("TYPE_").lower()
    for name, value in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


def snapshot() -> Snapshot:
    """Each field, enum value and method of the stubs: `Message.field` to `number type`, and so on."""
    found: Snapshot = {}
    for path in sorted((ROOT / "proto" / "pdp" / "v1").glob("*.proto")):
        file = importlib.import_module(f"pdp.v1.{path.stem}_pb2").DESCRIPTOR
        for message in file.message_types_by_name.values():
            _message(message, found)
        for enum in file.enum_types_by_name.values():
            _enum(enum, found)
        for service in file.services_by_name.values():
            _service(service, found)
    return dict(sorted(found.items()))


def _message(message: Descriptor, found: Snapshot) -> None:
    for field in message.fields:
        kind = field.message_type or field.enum_type
        line = [str(field.number), kind.full_name if kind else _SCALARS[field.type]]
        if field.is_repeated:
            line.append("repeated")
        if field.containing_oneof is not None:
            line.append(f"in {field.containing_oneof.name}")
        found[f"{message.name}.{field.name}"] = " ".join(line)
    for inner in message.nested_types:
        _message(inner, found)
    for enum in message.enum_types:
        _enum(enum, found)


def _enum(enum: EnumDescriptor, found: Snapshot) -> None:
    for value in enum.values:
        found[f"{enum.name}.{value.name}"] = str(value.number)


def _service(service: ServiceDescriptor, found: Snapshot) -> None:
    for method in service.methods:
        asks = ("stream " if method.client_streaming else "") + method.input_type.name
        gives = ("stream " if method.server_streaming else "") + method.output_type.name
        found[f"{service.name}.{method.name}"] = f"{asks} -> {gives}"


def broken(golden: Snapshot, current: Snapshot) -> list[str]:
    """One line per golden entry that changed or went away; additions are no breakage."""
    return [
        f"{name}: was `{line}`, is now `{current.get(name, 'gone')}`"
        for name, line in golden.items()
        if current.get(name) != line
    ]


def main() -> int:
    """0: as in the file, or additions written; 1: something changed or, with --check, is not in the file."""
    parser = argparse.ArgumentParser(description="golden field numbers of pdp.v1")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 on any difference")
    check = parser.parse_args().check
    golden: Snapshot = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    current = snapshot()
    wrong = broken(golden, current)
    if check:
        wrong += [f"{name} is new: run `python proto/snapshot.py`" for name in current if name not in golden]
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    if not wrong and not check:
        GOLDEN.parent.mkdir(parents=True, exist_ok=True)
        GOLDEN.write_text(json.dumps(current, indent=1) + "\n", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    raise SystemExit(main())
