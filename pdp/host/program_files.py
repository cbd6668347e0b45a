"""The digest of the files that a command runs, to compare a server's program at its review with the one started now.

Of a Python console script, or `python -m`, its distribution and all that this requires, as installed beside it, and
what the environment runs at every start (`*.pth`, `sitecustomize`); of Node the package of a script; else the program
itself, and scripts among the arguments. Not the interpreter, compiled caches, data, or what a program loads from
elsewhere. No path of this machine is in it, so that the same package has the same digest on another one.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

_INTERPRETER = re.compile(r"(?:pythonw?|node|deno|bun|ruby|perl|sh|bash|dash|env)[0-9.]*", re.ASCII)
# launchers, which fetch another program or search it in the working folder
LAUNCHERS = frozenset(
    {
        "bunx",
        "npm",
        "npx",
        "pnpm",
        "pnpx",
        "yarn",
        "conda",
        "mamba",
        "micromamba",
        "hatch",
        "pdm",
        "pipenv",
        "pipx",
        "pixi",
    }
    | {
        "poetry",
        "rye",
        "tox",
        "uv",
        "uvx",
        "docker",
        "nerdctl",
        "podman",
        "just",
        "make",
        "task",
        "mise",
        "nix",
        "nix-shell",
    }
    | {"direnv", "dotenv", "nice", "nohup", "setsid", "stdbuf", "sudo", "timeout", "xargs"}
)
_SCRIPTS = (".py", ".js", ".mjs", ".cjs", ".ts", ".sh")
_OURS = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})  # written by the installer
_STARTED = ("*.pth", "sitecustomize.py", "usercustomize.py")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST = 200_000  # files


class ProgramChangedError(Exception):
    """The program differs from the reviewed one."""


def program_digest(command: Sequence[str], folder: str) -> str:
    """`sha256:HEX` of the files that `command` runs in `folder`. Raises OSError for unreadable ones."""
    whole = hashlib.sha256()
    for label, path in sorted(_files(command, Path(folder)).items()):
        whole.update(f"{_content(path)} {label}\n".encode(errors="surrogateescape"))
    return f"sha256:{whole.hexdigest()}"


def program_paths(command: Sequence[str], folder: str) -> tuple[str, ...]:
    """The program, or an interpreter and its script, as absolute paths, which with the digest identify the program in
    any folder. () where they do not: a launcher, a module, code among the arguments."""
    program = _program(command, Path(folder)).absolute()
    if program.name in LAUNCHERS:
        return ()
    if _INTERPRETER.fullmatch(program.name) is None:
        return (str(program),)
    script = Path(folder, command[1]).absolute() if len(command) > 1 else program
    return (str(program), str(script)) if script.name.endswith(_SCRIPTS) and script.is_file() else ()


def npm_packages(command: Sequence[str], folder: str) -> Path | None:
    """The folder in which npm installed the program, or its script, with all that it requires; None of any other."""
    places = [parent for each in program_paths(command, folder) for parent in reversed(Path(each).resolve().parents)]
    return next((each for each in places if each.name == "node_modules"), None)


def compare(read: str, command: Sequence[str], folder: str) -> None:
    """Raises ProgramChangedError where `read` is not the digest of the command's files, or they are unreadable."""
    try:
        same = program_digest(command, folder) == read
    except OSError:
        same = False
    if not same:
        raise ProgramChangedError


def _files(command: Sequence[str], folder: Path) -> dict[str, Path]:
    """By labels."""
    files: dict[str, Path] = {}
    program = _program(command, folder)
    interprets = _INTERPRETER.fullmatch(program.name) is not None
    scripts = [program] if not interprets else []
    scripts += [path for each in command[1:] if each.endswith(_SCRIPTS) and (path := folder / each).is_file()]
    for place, script in enumerate(scripts):
        files[f"script {place} {script.name}"] = script.resolve(strict=True)
        files |= _package(script.resolve())
    module = command[command.index("-m") + 1] if interprets and "-m" in command[1:-1] else ""
    files |= _environment(program, module or program.name, module=bool(module))
    if len(files) > _MOST:
        raise OSError("too many files")
    return files


def _program(command: Sequence[str], folder: Path) -> Path:
    named = shutil.which(command[0])
    return Path(named) if named is not None else folder / command[0]


def _content(path: Path) -> str:
    """The digest of a file, without a first line that names an interpreter of this machine."""
    with path.open("rb") as file:
        if file.read(2) != b"#!":
            file.seek(0)
        else:
            file.readline()
        return hashlib.file_digest(file, "sha256").hexdigest()


def _environment(program: Path, name: str, *, module: bool) -> dict[str, Path]:
    """The files of a console script's or module's distribution in a Python environment."""
    files: dict[str, Path] = {}
    for packages in sorted(program.parent.parent.glob("lib/python*/site-packages")):
        installed = {_normal(each.metadata["Name"]): each for each in distributions(path=[str(packages)])}
        first = [key for key, each in installed.items() if _provides(each, name.partition(".")[0], module=module)]
        for each in _required(installed, first):
            files |= dict(_of_distribution(installed[each], packages))
        if first:
            files |= {f"start {path.name}": path for pattern in _STARTED for path in packages.glob(pattern)}
    return files


def _provides(distribution: Distribution, name: str, *, module: bool) -> bool:
    if not module:
        scripts = distribution.entry_points.select(group="console_scripts", name=name)
        return bool(scripts)
    return any(each.parts[0] in (name, f"{name}.py") for each in distribution.files or ())


def _required(installed: Mapping[str, Distribution], first: Sequence[str]) -> Sequence[str]:
    """The distributions with all installed requirements, whatever their conditions."""
    closure = dict.fromkeys(first)
    for each in (queue := list(first)):
        for required in installed[each].requires or ():
            match = _NAME.match(required)
            name = _normal(match[0]) if match else ""
            if name in installed and name not in closure:
                closure[name] = None
                queue.append(name)
    return tuple(closure)


def _of_distribution(distribution: Distribution, packages: Path) -> Iterator[tuple[str, Path]]:
    for each in distribution.files or ():
        path = Path(str(distribution.locate_file(each)))
        if each.suffix == ".pyc" or (each.name in _OURS and each.parts[0].endswith(".dist-info")):
            continue
        label = "/".join(each.parts) if path.is_relative_to(packages) else f"script {each.name}"
        yield f"python {label}", path


def _package(script: Path) -> dict[str, Path]:
    """For Node: all files of a script's package, with its installed packages."""
    if script.suffix not in (".js", ".mjs", ".cjs", ".ts"):
        return {}
    root = next((folder for folder in script.parents if (folder / "package.json").is_file()), None)
    files = root.rglob("*") if root is not None else ()
    return {f"node {path.relative_to(root)}": path for path in files if root is not None and path.is_file()}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
