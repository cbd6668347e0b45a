"""Configuration of the signed log and of the search (`audit.*`)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from pdp.files.options import Options


class AuditOptions(Options):
    """The signed tree over the records, and their index."""

    folder: Path | None = Field(
        None,
        description="Where this process writes tiles and checkpoints; each process has its own. In development "
        "beside the store.",
        examples=["log"],
    )
    key: str = Field(
        "",
        description="file:PATH or vault:PATH#KEY of the log's Ed25519 key (PEM); all processes of a store share it. "
        "Without it no checkpoint is signed. Made for you in development.",
        examples=["file:secrets/log.pem"],
        json_schema_extra={"secret": True},
    )
    witnesses: Path | None = Field(
        None,
        description="Policy (C2SP tlog-policy) with the witnesses that are asked to cosign each checkpoint, and "
        "with the quorum that auditors want.",
        examples=["witnesses.policy"],
    )
    witness_seconds: int = Field(
        3600, ge=10, description="How long a cosignature counts; it is renewed after half of that."
    )
    witness_ca_file: Path | None = Field(
        None, description="PEM of the authority that the witnesses' names rest on; the system's if unset."
    )
    listen: str = Field(
        "",
        description="HOST:PORT where the folder is served, on a literal loopback address only: its readers see "
        "the records of every tenant.",
        examples=["127.0.0.1:8081"],
    )

    index: Path | None = Field(
        None,
        description="Folder for the index that `SearchRecords` and `pdp audit search` need; each process has its "
        "own, and makes it again where it is lost. Absent: beside the store where that is a folder, else no search.",
        examples=["index"],
    )

    @field_validator("listen")
    @classmethod
    def _loopback(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if value and (host not in {"127.0.0.1", "[::1]"} or not port.isdecimal() or int(port) >= 1 << 16):
            raise ValueError("must be 127.0.0.1:PORT or [::1]:PORT; put a proxy that knows its readers before it")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.key and self.folder is None:
            raise ValueError("key is set without folder: name the folder for tiles and checkpoints")
        if self.witnesses and not self.key:
            raise ValueError("witnesses is set without key: there is no checkpoint to cosign")
        if self.listen and self.folder is None:
            raise ValueError("listen is set without folder: there is nothing to serve")
        return self
