"""The entry point of `pdp` and of `python -m pdp`: says what to install where only the client is."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Without the packages that it needs: one sentence and exit code 1."""
    try:
        # the base install is the client; this module alone must load with it
        from pdp.cli.main import main as run  # noqa: PLC0415

        run()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "pdp":
            raise
        sys.stderr.write(
            f"pdp: the command line needs more than the client ({error.name} is missing); "
            "install the extra `server`, and those of what you use, from the repository "
            "(on package indexes `pdp` is another's)\n"
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
