"""`pdp tally`."""

from __future__ import annotations

from typing import Any

import click
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import Int64Value

from pdp.host.feature import Connection


class TallyStub:
    """A client of the service."""

    def __init__(self, channel: Any) -> None:
        self.Count = channel.unary_unary("/sample.Tally/Count", Empty.SerializeToString, Int64Value.FromString)


@click.option("--words", is_flag=True, help="Say it in words.")
def tally(*, connection: Connection, words: bool) -> None:
    """Say how often a server looked."""
    count = connection.call("Count", Empty(), stub=TallyStub).value
    click.echo(f"looked: {count > 0}" if words else count)
