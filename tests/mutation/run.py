"""Plants every bug of the list, one at a time, in a copy of the tree, and sees whether anything notices.

    python tests/mutation/run.py [--jobs N] [--only NAME]... [--sample N [--seed N]] [--near]

The checks run nearest first, until one notices; each that notices anything must also pass on the copy as it is. A
mutant that survives them all fails the run, and so does one whose text is no longer in the code. `--near` leaves
out the checks of other parts (`Check.of`).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from mutant import Mutant, StaleMutantError
from mutants import MUTANTS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "var", "build", "dist")
SECONDS = 300  # for one check, far beyond what it takes; a mutant that hangs one is caught as well


@dataclass(frozen=True, slots=True)
class Check:
    """A command that must succeed. `of` are the folders whose mutants it is likely to catch: the nearer to the
    mutant, the earlier it runs."""

    name: str
    arguments: tuple[str, ...]
    of: tuple[str, ...] = ()

    def nearness(self, mutant: Mutant) -> int:
        """How much of the mutant's path is of the check; 0 when it is about other parts."""
        return max((len(of) for of in self.of if mutant.file.startswith(of)), default=0)


def _pytest(*arguments: str) -> tuple[str, ...]:
    return ("-m", "pytest", "-x", "-q", "--no-header", "-p", "no:randomly", "-p", "no:cacheprovider", *arguments)


_PROPERTIES = "tests/properties/test_"
_APPROVALS = "tests/unit/core/approvals"
_LISTENING = "tests/unit/adapters/test_listening.py"
# the quickest first
QUICK = (
    Check("load gate", (str(HERE / "load_gate.py"),), ("rego",)),
    Check("core", _pytest("tests/unit/core", "--ignore", _APPROVALS), ("pdp/core/",)),
    Check("approvals", _pytest(_APPROVALS), ("pdp/core/approvals/",)),
)
# as much of them as catches the sample of `test_mutation.py`
QUICKEST = (
    QUICK[0],
    Check("core", _pytest("tests/unit/core/test_outcome.py", "tests/unit/core/test_facts.py"), ("pdp/core/",)),
    Check("approvals", _pytest(f"{_APPROVALS}/test_vote.py"), ("pdp/core/approvals/",)),
)
CHECKS = (
    *QUICK,
    Check("records", _pytest("tests/unit/audit"), ("pdp/core/", "pdp/audit/export")),
    Check(
        "clock's records",
        _pytest("tests/system/test_faults_limits.py", "-k", "anomaly"),
        ("pdp/runtime/background", "pdp/service/operations/runs"),
    ),
    Check("approval states", _pytest(f"{_PROPERTIES}approval_states.py"), ("pdp/core/approvals/",)),
    Check("composition", _pytest(f"{_PROPERTIES}composition.py", "-k", "B-elements or C-requirements"), ("rego",)),
    Check("evidence", _pytest(f"{_PROPERTIES}evidence.py"), ("rego", "pdp/core")),
    Check("properties", _pytest(*(f"{_PROPERTIES}{n}.py" for n in ("canonical", "visibility", "looser")))),
    Check("rego", _pytest("tests/unit/rego"), ("rego",)),
    Check("gate", _pytest("tests/unit/policy/gate"), ("pdp/policy", "pdp/files")),
    Check("reads", _pytest("tests/unit/policy/gate/test_reads.py"), ("pdp/policy/gate/reads",)),
    Check("patterns", _pytest("tests/unit/scan/test_pattern_set.py"), ("pdp/injection/pattern_set",)),
    Check("kept results", _pytest("tests/unit/policy/test_kept.py"), ("pdp/policy/kept",)),
    Check(
        "policy worker",
        _pytest("tests/unit/policy/test_worker.py"),
        ("pdp/policy/embedded/worker", "pdp/policy/embedded/zygote", "pdp/core/elements"),
    ),
    Check("policy pool", _pytest("tests/unit/policy/test_pool.py"), ("pdp/policy/embedded/pool",)),
    Check("opa", _pytest("tests/unit/policy/test_opa_remote.py"), ("pdp/policy/opa/",)),
    Check(
        "prompts", _pytest(*(f"tests/unit/judge/test_{n}.py" for n in ("prompts", "lint", "goldens"))), ("pdp/judge",)
    ),
    Check(
        "judge's process",
        _pytest(*(f"tests/unit/judge/test_{n}.py" for n in ("parts", "opinions", "process"))),
        ("pdp/judge", "pdp/cli/judge"),
    ),
    Check("store", _pytest("tests/contract", "-k", "sqlite"), ("pdp/store/", "pdp/service/pseudonyms")),
    Check(
        "signed log",
        _pytest(
            "tests/unit/audit/test_witness.py",
            *(f"tests/contract/test_{n}.py" for n in ("signed_log", "cosigned_log")),
            "tests/system/test_rollback.py",
            "-k",
            "not postgres",
        ),
        ("pdp/audit/", "pdp/runtime/rollback", "pdp/runtime/bootstrap"),
    ),
    Check(
        "renewal of secrets",
        _pytest("tests/system/test_renewal.py"),
        ("pdp/runtime/renewal", "pdp/audit/receipt", "pdp/audit/verification"),
    ),
    Check(
        "quorum of witnesses",
        _pytest("tests/contract/test_quorum_records.py", "-k", "not postgres"),
        ("pdp/service/operations/quorum",),
    ),
    Check(
        "budgets",
        _pytest(
            "tests/unit/core/test_budgets.py",
            "tests/properties/test_budgets.py",
            "tests/system/test_budgets.py",
            "tests/contract/test_budgets.py",
            "-k",
            "not postgres",
        ),
        ("pdp/core/budgets", "pdp/service/budgets", "pdp/store/budgets", "pdp/store/rows", "pdp/service/commit"),
    ),
    Check(
        "first seen",
        _pytest(
            "tests/unit/core/test_names_first_seen.py", "tests/contract/test_first_seen.py", "-k", "not postgres"
        ),
        ("pdp/core/first_seen", "pdp/audit/first_seen", "pdp/store/firsts"),
    ),
    Check(
        "drill",
        _pytest("tests/unit/doctor", "tests/system/test_drill.py"),
        ("pdp/doctor/drill", "pdp/doctor/attacks"),
    ),
    Check("shadows", _pytest("tests/system/test_shadow_policies.py"), ("pdp/service/shadow",)),
    Check(
        "behaviour",
        _pytest("tests/system/test_behaviour.py", "tests/unit/service/approvals/test_quarantines.py"),
        ("pdp/service/quarantine", "pdp/service/results", "pdp/service/approvals/quarantines"),
    ),
    Check(
        "exports",
        _pytest("tests/system/test_audit_commands.py", "-k", "export and jsonl"),
        ("pdp/cli/audit_export",),
    ),
    Check(
        "search and erasure",
        _pytest("tests/contract/test_search.py", "tests/contract/test_erasure.py", "-k", "sqlite"),
        (
            "pdp/service/search",
            "pdp/service/records",
            "pdp/service/operations/erasure",
            "pdp/audit/index",
            "pdp/store/erasing",
            "pdp/store/log",
        ),
    ),
    Check(
        "archive",
        _pytest(
            *(f"tests/contract/test_{n}.py" for n in ("archive", "archived_log")),
            "tests/unit/adapters/test_log_files.py",
            "tests/system/test_archived.py",
            "-k",
            "not postgres",
        ),
        (
            "pdp/service/archiving",
            "pdp/service/search",
            "pdp/audit/archive",
            "pdp/audit/publisher",
            "pdp/audit/tiles",
            "pdp/adapters/log_files",
            "pdp/store/log",
            "pdp/store/reading",
            "pdp/store/migrations/versions/r0016",
        ),
    ),
    Check(
        "store on PostgreSQL",
        _pytest(*(f"tests/contract/test_{n}.py" for n in ("log", "for_call", "sharing")), "-k", "not sqlite"),
        ("pdp/store/postgres/",),
    ),
    Check(
        "store's file", _pytest("tests/unit/store/test_refusals.py", "tests/unit/store/test_store.py"), ("pdp/store",)
    ),
    Check(
        "identity",
        _pytest(
            *(f"tests/unit/identity/test_{n}.py" for n in ("tokens", "callers", "vouched", "key_files")), _LISTENING
        ),
        ("pdp/identity/", "pdp/adapters/grpc/"),
    ),
    Check(
        "replays",
        _pytest("tests/unit/service/test_replay.py", "tests/system/test_reexecution.py"),
        ("pdp/service/replay", "pdp/policy/bundle", "pdp/audit/opened", "pdp/authoring/re"),
    ),
    Check("access", _pytest("tests/system/test_access_review.py"), ("pdp/authoring/access_",)),
    Check("checklist", _pytest("tests/unit/checklist"), ("pdp/checklist/",)),
    Check("reviews", _pytest("tests/unit/adapters/test_calls.py", "-k", "review"), ("pdp/service/search",)),
    Check(
        "pilot",
        _pytest("tests/system/test_pilot.py"),
        ("pdp/core/outcome", "pdp/core/request", "pdp/service/approvals/resolve"),
    ),
    Check(
        "forecast",
        _pytest("tests/unit/core/test_forecast.py", "tests/system/test_policy_diff.py"),
        ("pdp/core/forecast", "pdp/authoring/policy_diff", "pdp/service/replay"),
    ),
    Check("sessions", _pytest("tests/unit/sessions"), ("pdp/sessions/", "pdp/core/sessions")),
    Check(
        "another index key",
        _pytest("tests/contract/test_rekeying.py", "tests/contract/test_search.py", "tests/system/test_index_key.py"),
        ("pdp/store/rekeying", "pdp/store/shared", "pdp/core/sessions", "pdp/service/budgets", "pdp/service/search"),
    ),
    Check(
        "sessions on Redis",
        _pytest("tests/contract/test_sessions_on_redis.py"),
        ("pdp/sessions/on_redis", "pdp/sessions/redis_scripts"),
    ),
    Check(
        "registry",
        _pytest(*(f"tests/unit/registry/test_{n}.py" for n in ("load", "pinned_kinds", "agents", "vetting"))),
        ("pdp/registry/",),
    ),
    Check("releases", _pytest("tests/unit/registry/test_release.py"), ("pdp/registry/release", "pdp/registry/dsse")),
    Check(
        "what is released",
        _pytest("tests/system/test_release.py"),
        ("pdp/policy/source", "pdp/judge/prompts", "pdp/approvals/directory", "pdp/service/operations/reload"),
    ),
    Check("other kinds", _pytest("tests/system/test_other_kinds.py"), ("pdp/service/facts", "pdp/registry/view")),
    Check("judge blocks", _pytest(f"{_PROPERTIES}judge_blocks.py")),
    Check(
        "batches",
        _pytest(f"{_PROPERTIES}batches.py", "tests/unit/service/test_batch_trail.py"),
        ("pdp/service/batch",),
    ),
    Check(
        "pushed security events",
        _pytest("tests/system/test_signals.py", "-k", "not another_process and not within_a_second"),
        (
            "pdp/identity/security_events",
            "pdp/core/security_events",
            "pdp/service/security_events",
            "pdp/store/ledger",
        ),
    ),
    Check(
        "redemption",
        _pytest(*(f"tests/system/test_{n}.py" for n in ("redemption", "judging", "fatigue", "turned_down"))),
        ("pdp/service/approvals/", "pdp/service/idempotency", "pdp/service/judge_evidence"),
    ),
    Check(
        "elicited answers",
        _pytest("tests/system/test_client_answers.py"),
        ("pdp/service/approvals/client_answers", "pdp/service/approvals/visibility"),
    ),
    Check(
        "way out",
        _pytest("tests/unit/test_outgoing.py", "tests/unit/approvals/test_channels.py"),
        ("pdp/outgoing",),
    ),
    Check(
        "pushes",
        _pytest("tests/contract/test_pushes.py", "-k", "sqlite"),
        ("pdp/audit/pushes", "pdp/audit/receivers", "pdp/outgoing"),
    ),
    Check("pushes of a fleet", _pytest("tests/contract/test_pushes.py", "-k", "one_process"), ("pdp/store/cursors",)),
    Check(
        "people",
        _pytest("tests/unit/service/approvals", "tests/unit/approvals"),
        ("pdp/service/approvals/", "pdp/approvals/"),
    ),
    Check(
        "console",
        _pytest("tests/unit/console", "--ignore", "tests/unit/console/test_queue_cost.py"),
        ("pdp/adapters/console/",),
    ),
    Check(
        "gateways",
        _pytest(
            "tests/unit/adapters/test_http_message.py",
            "tests/system/test_gateway_kinds.py",
            *(f"tests/system/test_ext_{n}.py" for n in ("authz", "mcp")),
        ),
        ("pdp/adapters/gateways/",),
    ),
    Check(
        "mcp",
        _pytest(
            "tests/unit/adapters/test_mcp_answers.py",
            "tests/unit/adapters/test_tool_search.py",
            *(
                f"tests/system/test_mcp_{n}.py"
                for n in ("enforcement", "confirmation", "fastmcp", "fastmcp_kinds", "proxy", "other_kinds")
            ),
            "tests/system/test_proxy_listen.py",
        ),
        ("pdp/adapters/mcp/", "pdp/cli/proxy"),
    ),
    Check("transport", _pytest("tests/unit/test_mcp_transport.py"), ("pdp/mcp_transport",)),
    Check("confinement", _pytest("tests/system/test_confinement.py"), ("pdp/confinement",)),
    Check("isolation", _pytest("tests/unit/judge/test_isolation.py"), ("pdp/judge/isolation", "pdp/confinement")),
    Check(
        "own proxy",
        _pytest(
            "tests/system/test_proxy_own.py",
            "-k",
            "person or state_folder or another or starter or network or two_starts",
        ),
        ("pdp/authoring/local", "pdp/authoring/starter_pack", "pdp/runtime/embedded", "pdp/cli/proxy_"),
    ),
    Check("hook events", _pytest("tests/unit/adapters/test_hook_agents.py"), ("pdp/adapters/hooks/",)),
    Check(
        "hooks over HTTP",
        _pytest("tests/system/test_hooks_http.py"),
        ("pdp/adapters/hooks/listener", "pdp/adapters/hooks/webhooks"),
    ),
    Check(
        "AuthZEN",
        _pytest(
            "tests/unit/adapters/test_access_questions.py",
            "tests/system/test_authzen.py",
            "tests/system/test_authzen_search.py",
            "tests/system/test_authzen_grpc.py",
            "tests/system/test_authzen_mcp.py",
            "tests/system/test_authzen_obligations.py",
            "tests/system/test_authzen_requests.py",
            "-k",
            "properties or never_the_same or semantics or token_is_of or waits or may_be_another or off_by_default",
        ),
        ("pdp/adapters/authzen/", "pdp/runtime/callers", "pdp/core/methods", "pdp/service/approvals/tasks"),
    ),
    Check(
        "hooks",
        _pytest("tests/system/test_hook.py", "-k", "half or its_time or variables or proxy or kept or goes_through"),
        ("pdp/hook", "pdp/cli/hook"),
    ),
    Check("framework calls", _pytest("tests/unit/adapters/test_tool_guard.py"), ("pdp/adapters/frameworks/tool_",)),
    Check(
        "frameworks",
        _pytest("tests/system/test_frameworks.py", "-k", "langchain or openai or claude or litellm"),
        ("pdp/adapters/frameworks/",),
    ),
    Check(
        "cpex",
        _pytest("tests/system/test_cpex.py", "tests/system/test_frameworks.py", "-k", "cpex"),
        ("pdp/adapters/frameworks/cpex",),
    ),
    Check("client", _pytest("tests/unit/client/test_following.py"), ("pdp/client/",)),
)


class Tree:
    """A copy of the repository, in which one mutant at a time lives."""

    def __init__(self, folder: Path, source: Path = ROOT) -> None:
        """`source` is the repository or another tree, whose compiled modules are then copied too."""
        self.folder = folder
        # whole: of what is missing, Python would take the installed one, which is another tree's
        shutil.copytree(source, folder, ignore=LEFT_OUT if source == ROOT else None, symlinks=True)
        for name in (
            ".tools",
            ".venv-demo",
            ".venv-frameworks",
            ".venv-litellm",
            ".venv-cpex",
        ):  # what tests start, which is nobody's to change
            if source == ROOT and (ROOT / name).exists():
                (folder / name).symlink_to(ROOT / name)

    def try_out(self, mutant: Mutant, checks: Sequence[Check]) -> tuple[Check | None, str]:
        """What catches the mutant, and what it says; None when it survives. Raises StaleMutantError."""
        path = self.folder / mutant.file
        text = mutant.applied(self.folder)
        if mutant.old is None:
            path.write_text(text)
            undo = path.unlink
        else:
            undo = _replace(path, text)
        try:
            for check in sorted(checks, key=lambda check: -check.nearness(mutant)):
                if (said := self.complaint(check)) is not None:
                    return check, said
            return None, ""
        finally:
            undo()

    def complaint(self, check: Check) -> str | None:
        """None when the check passes, otherwise the last it said."""
        process = subprocess.Popen(
            [sys.executable, *check.arguments],
            cwd=self.folder,
            env={"PYTHONPATH": str(self.folder), "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return "it does not end"
        if process.returncode == 0:
            return None
        lines = [line for line in said.splitlines() if line.strip()]
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        return ((failed or lines or ["it fails"])[-1])[:150]


def _replace(path: Path, text: str) -> Callable[[], None]:
    """Replace a file's text; returns what puts it back. The time stamps keep compiled modules honest."""
    before, times = path.read_bytes(), path.stat()
    path.write_text(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 10**10))

    def undo() -> None:
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    return undo


class Trees:
    """One tree per thread, made when first needed, from one in which the checks pass."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine = threading.local()
        self.first = Tree(folder / "first")
        self._complaints: dict[Check, Future[str | None]] = {}
        self._lock = threading.Lock()

    def complaint(self, check: Check) -> str | None:
        """What a check says without any mutant; None when it passes. It runs once."""
        with self._lock:
            mine = check not in self._complaints
            complaint = self._complaints.setdefault(check, Future())
        if mine:
            complaint.set_result(self.first.complaint(check))
        return complaint.result()

    def compile(self) -> None:
        """Compile the first tree's modules, which the others then have too; pytest compiles those of tests itself."""
        parts = ("pdp", "tests/support")
        subprocess.run([sys.executable, "-m", "compileall", "-q", *parts], cwd=self.first.folder, check=True)

    def tree(self) -> Tree:
        if not hasattr(self._mine, "tree"):
            self._mine.tree = Tree(Path(tempfile.mkdtemp(dir=self._folder)) / "tree", self.first.folder)
        tree: Tree = self._mine.tree
        return tree


def verdict(trees: Trees, mutant: Mutant, checks: Sequence[Check]) -> tuple[bool, str]:
    """Whether the mutant was caught, and by what."""
    try:
        check, said = trees.tree().try_out(mutant, checks)
    except StaleMutantError as error:
        return False, f"STALE {error}"
    if check is None:
        return False, f"SURVIVED, so nothing holds: {mutant.attacks}"
    if (broken := trees.complaint(check)) is not None:
        return False, f"UNDECIDED, since {check.name} fails without any mutant: {broken}"
    return True, f"{check.name}: {said}"


def _checks_of(mutant: Mutant, *, near: bool) -> Sequence[Check]:
    return [check for check in CHECKS if near and check.nearness(mutant)] or CHECKS


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many, by chance")
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--near", action="store_true")
    options = parser.parse_args(arguments)
    chosen = [m for m in MUTANTS if not options.only or m.name in options.only]
    if unknown := set(options.only) - {m.name for m in chosen}:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    if options.sample:
        chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
    began = time.monotonic()
    caught = 0
    with tempfile.TemporaryDirectory(prefix="pdp-mutation-") as folder:
        trees = Trees(Path(folder))
        trees.compile()
        with ThreadPoolExecutor(options.jobs) as pool:
            jobs = {pool.submit(verdict, trees, m, _checks_of(m, near=options.near)): m for m in chosen}
            for number, job in enumerate(as_completed(jobs), 1):
                was_caught, by = job.result()
                caught += was_caught
                _say(f"{number:>3}/{len(chosen)} {jobs[job].name}: {by}")
    _say(f"{len(chosen)} mutants, {caught} caught ({time.monotonic() - began:.0f} s)")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
