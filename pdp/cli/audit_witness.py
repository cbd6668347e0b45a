"""`pdp audit witness`."""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from pathlib import Path

import click

from pdp.cli.commands import FOLDER, IN_FILE
from pdp.host.listener_tls import server_tls
from pdp.proof.note import LogKey, read_private
from pdp.proof.witness import MAX_BODY, Witness
from pdp.proof.witness_listener import WitnessListener
from pdp.runtime.telemetry import logs


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--name", required=True, help="The witness's name, such as witness.example/1; no spaces, no plus.")
@click.option("--key", "pem", type=IN_FILE, required=True, help="Its own Ed25519 key (PEM), used for nothing else.")
@click.option(
    "--log",
    "logs_",
    multiple=True,
    required=True,
    help="The verifier key of a log, or a file with it; may be given again.",
)
@click.option("--listen", default="127.0.0.1:8082", show_default=True, help="HOST:PORT for add-checkpoint.")
@click.option(
    "--tls-certificate", type=IN_FILE, help="PEM chain to listen with; without it put a TLS proxy before it."
)
@click.option("--tls-key", type=IN_FILE, help="PEM key of that certificate.")
def witness(
    *,
    folder: Path,
    name: str,
    pem: Path,
    logs_: tuple[str, ...],
    listen: str,
    tls_certificate: Path | None,
    tls_key: Path | None,
) -> None:
    """Run a witness: cosign checkpoints of logs that only ever grow.

    For a machine that the log's operator does not own. FOLDER keeps the last checkpoint of each log, which is on the
    disk before it is cosigned. Prints its line for a witness policy, then serves until SIGTERM.
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) >= 1 << 16:
        raise click.UsageError("--listen: is not HOST:PORT.")
    if (tls_certificate is None) != (tls_key is None):
        raise click.UsageError("--tls-certificate and --tls-key go together.")
    if not name or set(name) & set(" +\n\t"):
        raise click.UsageError("--name: has a space or a plus.")
    logs.configure("info", "text")
    known = [LogKey.read(Path(each).read_text() if Path(each).is_file() else each) for each in logs_]
    made = Witness(folder, name, read_private(pem.read_bytes()), known, time.time)
    scheme = "http" if tls_certificate is None else "https"
    try:
        asyncio.run(_serve(made, listen, scheme, _tls(tls_certificate, tls_key)))
    finally:
        made.close()


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None or key is None:
        return None
    return server_tls(certificate, key, "--tls-certificate and --tls-key")


async def _serve(made: Witness, listen: str, scheme: str, tls: ssl.SSLContext | None) -> None:
    def add(body: bytes) -> tuple[int, str, str]:
        answer = made.add(body)
        return answer.status, answer.body, answer.kind

    listener, stop = WitnessListener(listen, add, max_body=MAX_BODY, tls=tls), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await listener.start()
    click.echo(f"witness {made.verifier.name.replace('/', '-')} {made.verifier.text()} {scheme}://{listener.address}")
    await stop.wait()
    await listener.drain()
