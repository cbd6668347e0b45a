"""`make docker-steps`: carry out the Dockerfile's own steps in a scratch directory and start what they made."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from dockerfile import DOCKERFILE, ROOT, Scratch, Stage, read

from devtools import sandbox
from pdp.registry.pin import PinnedServer


def serve(scratch: Scratch, final: Stage) -> None:
    """A server of the image's files, asked by its own probe, and stopped as Docker would."""
    world = sandbox.create(scratch.folder / "w", PinnedServer("acme", "git", "https://git.example/mcp", "platform"))
    probe = ("health", "--config", str(world.config), "--timeout", "1")
    with scratch.started(final, "serve", "--config", str(world.config)) as server:
        for _ in range(60):
            if scratch.run(final, *probe).returncode == 0:
                break
            assert server.poll() is None, "the server ended"
            time.sleep(0.5)
        assert scratch.run(final, *probe).stdout == "SERVING\n"
        server.terminate()
        assert server.wait(30) == 0
    assert scratch.run(final, *probe).returncode == 1
    sys.stdout.write("serve: answered its probe, ended by SIGTERM\n")


def main() -> int:
    """Exit code 0 when the steps work and the entry point does what it should."""
    _, (build, final) = read(DOCKERFILE.read_text())
    with tempfile.TemporaryDirectory(prefix="pdp-image-") as folder:
        scratch = Scratch(Path(folder).resolve())
        scratch.build(build)
        scratch.compose(final)
        sbom = json.loads((scratch.folder / "image/usr/share/doc/pdp/sbom.cdx.json").read_text())
        held = {component["name"] for component in sbom["components"]}
        assert {"pdp", "grpcio", "gordon-to-regorus", "hvac"} <= held, held
        assert not held & {"pip", "pytest", "mypy", "cyclonedx-bom"}, held
        for expected, *arguments in (
            (0, "--version"),
            (0, "config", "check", "--syntax-only", str(ROOT / "docs/config.example.yaml")),
            (0, "policy", "check"),
            (0, "policy", "test"),
            (1, "health", "--target", "127.0.0.1:1", "--timeout", "1"),
        ):
            done = scratch.run(final, *arguments, timeout=120)
            sys.stdout.write(f"{' '.join(arguments[:2])}: exit {done.returncode}\n")
            assert done.returncode == expected, done.stdout + done.stderr
        serve(scratch, final)
        sys.stdout.write(f"{len(held)} packages in the SBOM\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
