"""A program under the restrictions of deploy/kubernetes/deployment.yaml, carried out without a container engine.

Run as root under `unshare --mount --fork`: `restricted.py SPEC -- COMMAND`. A root of its own is put together from
the machine's, all of it read-only but the volumes; then rights, user and system calls are given up, and COMMAND is
run. What this kernel cannot do (AppArmor where it is not built in) is left to the check of the profile.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP, _PR_SET_MDWE, _REFUSE_EXEC_GAIN = 38, 24, 65, 1
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_COMPARE = {"SCMP_CMP_NE": 1, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}


class Argument(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def root(folder: Path, binds: dict[str, str], writable: dict[str, str], scratch: Sequence[str]) -> None:
    """A root of its own: the system's programs, and what is bound, read-only; `writable` and `scratch` apart."""
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(folder))
    for name in ("lib", "lib64", "bin", "sbin"):
        (folder / name).symlink_to(f"usr/{name}")
    devices = {f"/dev/{name}": f"/dev/{name}" for name in ("null", "zero", "random", "urandom")}
    for source, target in {"/usr": "/usr", "/proc": "/proc", **devices, **binds, **writable}.items():
        place = folder / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if Path(source).is_dir():
            place.mkdir(exist_ok=True)
        else:
            place.touch()
        mount("--bind", source, str(place))
        if (
            source not in writable.values()
            and target not in writable.values()
            and not source.startswith(("/dev", "/proc"))
        ):
            mount("-o", "remount,ro,bind", str(place))
    for target in scratch:
        (folder / target.lstrip("/")).mkdir(parents=True)
        mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(folder / target.lstrip("/")))
    mount("-o", "remount,ro", str(folder))


def filter_calls(profile: dict[str, Any]) -> None:
    """The system calls of a profile in the form of the OCI runtime specification, by libseccomp."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO | profile["defaultErrnoRet"])))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    for rule in profile["syscalls"]:
        action = _ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else _ERRNO | rule["errnoRet"]
        tests = [
            Argument(each["index"], _COMPARE[each["op"]], each["value"], each["valueTwo"])
            for each in rule.get("args", ())
        ]
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            assert number != -1, f"no system call is named {name}"
            given = (ctypes.c_uint32(action), ctypes.c_int(number), ctypes.c_uint(len(tests)))
            if number >= 0:  # a negative number is one of another architecture
                array = (Argument * len(tests))(*tests)
                assert library.seccomp_rule_add_array(context, *given, array) == 0, name
    assert library.seccomp_load(context) == 0


def main(arguments: Sequence[str]) -> None:
    """Puts the root together, gives everything up, runs the command."""
    spec = json.loads(Path(arguments[0]).read_text())
    profile = json.loads(Path(spec["seccomp"]).read_text())
    libc = ctypes.CDLL(None, use_errno=True)
    ctypes.CDLL("libseccomp.so.2")
    root(Path(spec["root"]), spec["binds"], spec["writable"], spec["scratch"])
    os.chroot(spec["root"])
    os.chdir(spec["folder"])
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(*[spec["group"]] * 3)
    os.setresuid(*[spec["user"]] * 3)
    assert libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    if spec["no_code_written"]:
        assert libc.prctl(_PR_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0) == 0
    filter_calls(profile)
    command = arguments[arguments.index("--") + 1 :]
    os.execve(command[0], command, spec["environment"])


if __name__ == "__main__":
    main(sys.argv[1:])
