"""Both engines, asked for the value of a query over modules of no particular shape: a real OPA, and regorus as the
product sets it up. What an engine says is `("value", v)`, `("undefined",)` or `("loud",)`: an error or a refusal to
load, which the product answers with a denial."""

from __future__ import annotations

import contextlib
import faulthandler
import http.client
import json
import multiprocessing
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from pdp.policy.embedded.regorus_binding import new_engine

Said = tuple[Any, ...]
UNDEFINED: Said = ("undefined",)
LOUD: Said = ("loud",)
DEFAULT = "data.test.p"


class _Socket(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("opa", timeout=60)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self._path))


class Opa:
    """A server without policy of its own; modules come and go."""

    def __init__(self, path: Path) -> None:
        self._connection = _Socket(path)
        self._held = 0

    def reachable(self) -> bool:
        """Whether it listens by now."""
        try:
            self._connection.connect()
        except OSError:
            self._connection.close()
            return False
        return True

    def close(self) -> None:
        self._connection.close()

    def ask(
        self,
        modules: Sequence[str],
        document: Any = None,
        *,
        query: str = DEFAULT,
        data: Mapping[str, Any] | None = None,
        strict: bool = True,
    ) -> Said:
        """Load, ask once, unload."""
        try:
            return self.evaluate(document, query, strict=strict) if self.load(modules, data or {}) else LOUD
        finally:
            self.clear()

    def load(self, modules: Sequence[str], data: Mapping[str, Any]) -> bool:
        """Whether OPA takes the modules. They may need each other, so each is offered until all are in."""
        self._request("PUT", "/v1/data", json.dumps(data))
        waiting = list(modules)
        while waiting:
            left = [m for m in waiting if not self._put(m)]
            if len(left) == len(waiting):
                return False
            waiting = left
        return True

    def evaluate(self, document: Any, query: str = DEFAULT, *, strict: bool = True) -> Said:
        """The value of a rule, or of any query (which OPA evaluates without strictness)."""
        asked = {} if document is None else {"input": document}
        if " " in query:
            status, body = self._request("POST", "/v1/query", json.dumps({**asked, "query": f"x := {query}"}))
            rows = body.get("result") if status == 200 else None
            return LOUD if status != 200 else ("value", rows[0]["x"]) if rows else UNDEFINED
        path = f"/v1/{query.replace('.', '/')}?strict-builtin-errors={str(strict).lower()}"
        status, body = self._request("POST", path, json.dumps(asked))
        if status != 200:
            return LOUD
        return ("value", body["result"]) if "result" in body else UNDEFINED

    def clear(self) -> None:
        while self._held:
            self._held -= 1
            self._request("DELETE", f"/v1/policies/m{self._held}")

    def _put(self, module: str) -> bool:
        status, _ = self._request("PUT", f"/v1/policies/m{self._held}", module)
        self._held += status == 200
        return status == 200

    def _request(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        self._connection.request(method, path, body.encode() if body is not None else None)
        answer = self._connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else {}


@contextlib.contextmanager
def serving(binary: Path) -> Iterator[Opa]:
    """An OPA on a private socket for a while."""
    with tempfile.TemporaryDirectory(prefix="pdp-conf-") as folder:
        path = Path(folder) / "s"
        arguments = ["run", "-s", "--addr", f"unix://{path}", "--skip-version-check", "--log-level=error"]
        process = subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            made = Opa(path)
            while not made.reachable():
                time.sleep(0.02)
            yield made
            made.close()
        finally:
            process.kill()
            process.wait()


def embedded(
    modules: Sequence[str], document: Any = None, *, query: str = DEFAULT, data: Mapping[str, Any] | None = None
) -> Said:
    """What regorus says, in this process."""
    try:
        engine: Any = new_engine()
        for number, module in enumerate(modules):
            engine.add_policy(f"m{number}.rego", module)
        engine.add_data_json(json.dumps(data or {}))
        engine.set_input_json(json.dumps({} if document is None else document))
        found = json.loads(engine.eval_query_as_json(query))
    except RuntimeError:
        return LOUD
    rows = found.get("result")
    return ("value", rows[0]["expressions"][0]["value"]) if rows else UNDEFINED


def embedded_apart(modules: Sequence[str], document: Any, query: str, data: Mapping[str, Any]) -> Said:
    """The same in a process that may be lost; losing it is loud."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def work() -> None:
        faulthandler.disable()  # losing this process is expected
        os.close(1)
        os.close(2)
        theirs.send(embedded(modules, document, query=query, data=data))

    process = context.Process(target=work)
    process.start()
    theirs.close()
    try:
        return tuple(ours.recv())
    except EOFError:
        return LOUD
    finally:
        process.join()
        ours.close()


def same(one: Said, other: Said) -> bool:
    """Whether two engines say the same. Numbers are compared as numbers: 1.0 is 1, and true is not."""
    return _plain(list(one)) == _plain(list(other))


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
