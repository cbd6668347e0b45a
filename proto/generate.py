"""Generate the stubs of ``proto/pdp/v1`` and ``proto/pdp/vendored`` into ``pdp``, or check that they are fresh.

``python proto/generate.py`` writes them; ``python proto/generate.py --check`` generates into a temporary
directory, compares byte by byte, and exits 1 naming each file that differs. Uses only what the locked
development environment holds: grpcio-tools (protoc and the gRPC plugin) and mypy-protobuf (typing).
"""

import argparse
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]  # grpcio-tools ships no types

PROTO_ROOT = Path(__file__).resolve().parent
ROOT = PROTO_ROOT.parent
PACKAGES = {
    Path("pdp/v1"): "the public contract",
    Path("pdp/vendored"): "the calls of others",
}
TYPING_PLUGINS = ("mypy", "mypy_grpc")
INIT = '''"""Stubs of {what}, generated from ``proto/{package}``: never edited, not linted.

Run ``python proto/generate.py`` after a change of a proto file.
"""
'''

# mypy-protobuf's stubs override methods without saying so, which the project's mypy settings forbid; mypy
# reports it wherever the stubs are imported, so the exception stands in the stubs themselves.
TYPING_HEADER = '# mypy: disable-error-code="explicit-override"\n'


def generate(out: Path) -> None:
    """Write all stubs and ``__init__.py`` below ``out``, in the packages' folders.

    Raises SystemExit with protoc's exit code when a proto file does not compile.
    """
    sources = sorted(
        str(path.relative_to(PROTO_ROOT)) for package in PACKAGES for path in (PROTO_ROOT / package).glob("*.proto")
    )
    # The plugins of this interpreter's environment, not whatever is first on the PATH.
    binaries = Path(sys.executable).parent
    with as_file(files("grpc_tools") / "_proto") as well_known:
        code = protoc.main(
            [
                "protoc",
                f"--proto_path={PROTO_ROOT}",
                f"--proto_path={well_known}",
                *(f"--plugin=protoc-gen-{name}={binaries / f'protoc-gen-{name}'}" for name in TYPING_PLUGINS),
                f"--python_out={out}",
                f"--grpc_python_out={out}",
                f"--mypy_out=quiet:{out}",
                f"--mypy_grpc_out=quiet:{out}",
                *sources,
            ]
        )
    if code:
        raise SystemExit(code)
    for package, what in PACKAGES.items():
        for stub in (out / package).glob("*.pyi"):
            stub.write_text(TYPING_HEADER + stub.read_text(encoding="utf-8"), encoding="utf-8")
        (out / package / "__init__.py").write_text(INIT.format(what=what, package=package), encoding="utf-8")


def contents(root: Path) -> dict[str, bytes]:
    """Path below `root` to bytes of each Python file and typing stub of the packages."""
    found = (path for package in PACKAGES for path in (root / package).glob("*.py*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def differences(have: dict[str, bytes], want: dict[str, bytes]) -> list[str]:
    """One line per file that is missing, left over, or not as generated; empty when fresh."""
    found = []
    for path in sorted(have.keys() | want.keys()):
        if path not in have:
            found.append(f"{path} is missing")
        elif path not in want:
            found.append(f"{path} belongs to no proto file")
        elif have[path] != want[path]:
            found.append(f"{path} is not what the proto files generate")
    return found


def main() -> int:
    """Generate or check; 0 when done or fresh, 1 when stale."""
    parser = argparse.ArgumentParser(description="generate the stubs of proto/pdp in pdp")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the stubs are stale")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        want = contents(Path(scratch))
    have = contents(ROOT)
    stale = differences(have, want)
    if check:
        for line in stale:
            sys.stderr.write(f"{line}: run `python proto/generate.py`\n")
        return 1 if stale else 0
    for path in have.keys() - want.keys():
        (ROOT / path).unlink()
    for path, data in want.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_bytes(data)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
