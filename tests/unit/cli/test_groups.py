"""The help by readers, completion by the shell, and errors that say what to run next."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.for_each import for_each

from pdp.cli.main import _SECTIONS, cli, next_command
from pdp.core.errors import ConfigurationFault, RegistryFault

PDP = Path(sys.executable).parent / "pdp"


def completed(words: str, place: int, shell: str = "bash") -> list[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "_PDP_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(place),
    }
    done = subprocess.run([PDP], env=environment, capture_output=True, text=True, check=True)
    return [line.partition(",")[2] for line in done.stdout.split()]


def test_every_command_stands_in_one_section_of_the_help() -> None:
    placed = [name for names in _SECTIONS.values() for name in names]
    assert sorted(placed) == sorted(cli._lazy)
    told = CliRunner().invoke(cli, ["--help"]).output
    titles = [f"{title}:" for title in _SECTIONS]
    assert [line for line in told.splitlines() if line in titles] == titles
    assert "\nCommands:" not in told


def test_a_shell_completes_commands_their_commands_and_their_options() -> None:
    assert completed("pdp pol", 1) == ["policy"]
    assert "check" in completed("pdp policy ", 2)
    assert "--syntax-only" in completed("pdp config check --", 3)


@for_each(
    "shell, named", [("bash", "complete -o nosort -F"), ("zsh", "#compdef pdp"), ("fish", "complete --no-files")]
)
def test_each_shell_is_given_its_script(shell: str, named: str) -> None:
    environment = {"PATH": os.environ["PATH"], "_PDP_COMPLETE": f"{shell}_source"}
    done = subprocess.run([PDP], env=environment, capture_output=True, text=True, check=False)
    assert named in done.stdout, done.stderr


def test_a_misspelt_command_is_told_the_nearest() -> None:
    assert "Did you mean `cli policy`?" in CliRunner().invoke(cli, ["polcy"]).output
    assert "Did you mean `cli policy check`?" in CliRunner().invoke(cli, ["policy", "chek"]).output
    assert "Did you mean" not in CliRunner().invoke(cli, ["zzzz"]).output


@for_each(
    "fault, then",
    [
        (RegistryFault("registry.key", "No key; `pdp tools keygen` makes one."), "pdp tools keygen"),
        (ConfigurationFault("config.invalid", "server: is no mapping."), "pdp config check FILE"),
        (ConfigurationFault("other.code", "Something."), "pdp --help"),
    ],
)
def test_a_fault_says_what_to_run_next(fault: ConfigurationFault | RegistryFault, then: str) -> None:
    assert next_command(fault) == then


@pytest.mark.starts_server
def test_it_is_said_on_standard_error() -> None:
    done = subprocess.run(
        [PDP, "serve", "--config", "no-such-file.yaml"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "next: pdp config check FILE"
