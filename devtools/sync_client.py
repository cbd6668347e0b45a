"""Generator of pdp/client/sync.py from pdp/client/aio.py: the same code without `async` and `await`.

    python -m devtools.sync_client           writes the file (`make generated`)
    python -m devtools.sync_client --check   exits 1 when the file is another (`make lint`)

Names lose their prefix: AsyncX becomes X, async_x becomes x, __aenter__ becomes __enter__. Strings and comments stay.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

CLIENT = Path(__file__).resolve().parent.parent / "pdp" / "client"
HEADER = (
    '"""The clients for threads. Generated from aio.py by devtools/sync_client.py: edit that file, not this one."""'
)
_PREFIX = re.compile(r"^Async(?=[A-Z])|^async_|(?<=^__)a(?=enter__$|exit__$)")


def generate(source: str) -> str:
    """The module for threads, from the text of the module for asyncio."""
    lines = source.splitlines(keepends=True)
    docstring, *tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    for token in reversed(tokens):  # from the end, so that positions before it hold
        if token.type == tokenize.NAME:
            (row, begin), (_, end) = token.start, token.end
            before, after = lines[row - 1][:begin], lines[row - 1][end:]
            if token.string in ("async", "await"):
                lines[row - 1] = before + after.removeprefix(" ")
            else:
                lines[row - 1] = before + _PREFIX.sub("", token.string) + after
    text = HEADER + "\n" + "".join(lines[docstring.end[0] :])
    return _ruff("format", _ruff("check", text, "--fix-only", "--select=I"))


def _ruff(command: str, text: str, *options: str) -> str:
    """`text` as ruff leaves it."""
    program = [sys.executable, "-m", "ruff", command, "--quiet", *options, f"--stdin-filename={CLIENT / 'x.py'}", "-"]
    return subprocess.run(program, input=text, capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Write the file, or compare it."""
    target = CLIENT / "sync.py"
    text = generate((CLIENT / "aio.py").read_text(encoding="utf-8"))
    if "--check" not in sys.argv[1:]:
        target.write_text(text, encoding="utf-8")
    elif target.read_text(encoding="utf-8") != text:
        sys.exit("pdp/client/sync.py is not what aio.py makes: run `make generated`")


if __name__ == "__main__":
    main()
