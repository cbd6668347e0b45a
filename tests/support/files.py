"""What a folder holds while a process writes to it."""

from pathlib import Path


def files_of(folder: Path) -> dict[Path, bytes]:
    """The bytes of every file, read again where one was renamed into its place meanwhile: a process writes there."""
    while True:
        try:
            return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        except FileNotFoundError:
            continue
