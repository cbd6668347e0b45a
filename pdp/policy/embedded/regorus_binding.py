"""The one place that touches the `regorus` extension module, which has no type stubs.

Only the `Engine` class is used, JSON in and out (docs/adr, DESIGN section 5): `set_input` with Python objects can
crash the process, and `Rvm` drops conflict errors. An engine belongs to the thread that made it; use from another
raises a PanicException, which is a BaseException.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import importlib.util
import re
from importlib import metadata
from pathlib import Path
from typing import Protocol, cast

from pdp.core.errors import ConfigurationFault
from pdp.policy.embedded.regorus_builtins import EXTENSIONS

DISTRIBUTION = "gordon-to-regorus"
_RIVALS = ("celine-regorus", "regorus")  # install the same files with other, worse semantics
# anchored: an error's own words may quote an input value that looks like a place
_PLACE = re.compile(r"\A\s*--> (.+:\d+:\d+)$", re.MULTILINE)
_CONFLICT = re.compile(r"^error: rule conflicts with rule at (.+:\d+:\d+)$", re.MULTILINE)
_ERROR = re.compile(r"^error: (.*)$", re.MULTILINE)


class RegorusEngine(Protocol):
    """The part of `regorus.Engine` that we use."""

    def add_policy(self, path: str, rego: str) -> str:
        """Parse and add one module. Raises RuntimeError."""

    def add_data_json(self, data: str) -> None:
        """Merge a JSON object into `data`. Raises RuntimeError."""

    def set_input_json(self, document: str) -> None:
        """Set `input`; on RuntimeError the previous input stays, so nothing may be evaluated then."""

    def eval_rule_as_json(self, path: str) -> str:
        """The rule's value as JSON text; `"<undefined>"` when undefined. Raises RuntimeError on evaluation errors,
        conflicts, and a path that names no rule (`eval_query` would return nothing for a misspelt path)."""


def new_engine() -> RegorusEngine:
    """An empty engine, bound to the calling thread, whose builtins answer as those of OPA."""
    made = importlib.import_module("regorus").Engine()
    for name, (arity, extension) in EXTENSIONS.items():
        made.add_extension(name, arity, extension)
    return cast("RegorusEngine", made)


def version() -> str:
    """Engine and version, for the record. Raises ConfigurationFault when the installed `regorus` module is not,
    or not certainly, the distribution that we conformance-test."""
    for rival in _RIVALS:
        if _installed(rival):
            raise ConfigurationFault(
                "engine.distribution",
                f"The distribution {rival} is installed and owns the same module as {DISTRIBUTION}; uninstall both,"
                " then install the server from its lock file.",
            )
    found = _installed(DISTRIBUTION)
    if not found:
        raise ConfigurationFault(
            "engine.distribution", f"{DISTRIBUTION} is not installed; install the server from its lock file."
        )
    if not _intact(metadata.distribution(DISTRIBUTION)):
        raise ConfigurationFault(
            "engine.distribution",
            f"The module regorus is not as {DISTRIBUTION} installed it: another distribution owns or changed it. Make"
            " a new environment from the lock file.",
        )
    return f"regorus/{found} ({DISTRIBUTION})"


def places(error: BaseException) -> str:
    """Where the engine says the error is (`path:row:column`, two for a conflict), and nothing else: its own words
    quote values of the input."""
    words = _own_words(error)
    found = [match.group(1) for match in (_PLACE.search(words), _CONFLICT.search(words)) if match]
    return " and ".join(found) or "an unknown place"


def load_error(error: BaseException) -> str:
    """Where and what, for an error in loading policy text, where no input value can be quoted."""
    found = _ERROR.search(_own_words(error))
    return f"{places(error)}: {found.group(1) if found else 'cannot be loaded'}"


def _own_words(error: BaseException) -> str:
    return str(error).partition("\nStack backtrace:")[0]


def _intact(distribution: metadata.Distribution) -> bool:
    """Whether the module that would be imported consists of the distribution's files, byte for byte, and of no other:
    Python prefers an extension module made for one version to the one for all, wherever that came from."""
    spec = importlib.util.find_spec("regorus")
    hashes = {
        Path(str(file.locate())): file.hash.value
        for file in distribution.files or ()
        if file.parts[0] == "regorus" and file.hash is not None
    }
    if spec is None or spec.origin is None or Path(spec.origin) not in hashes:
        return False
    there = {path for path in Path(spec.origin).parent.rglob("*") if path.suffix != ".pyc" and not path.is_dir()}
    return there == set(hashes) and all(_digest(path) == wanted for path, wanted in hashes.items())


def _digest(path: Path) -> str:
    """As a wheel's RECORD writes it."""
    try:
        found = hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return ""
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode()


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
