"""The form of a configuration section, and the URLs that it may name."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from pdp.core.names import is_loopback


class Options(BaseModel):
    """A section of the configuration: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def url_problem(url: str, *, origin: bool = False) -> str:
    """The reason against connecting to a URL, or "". Plain http is for loopback hosts only; with `origin` nothing may
    follow the port."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return "must be a URL with a host and port that can be read"
    if not host or parts.username is not None or parts.password is not None or "#" in url:
        return "must be a URL with a host, without user information and fragment"
    if origin and (parts.path.strip("/") or parts.query):
        return "must end after the port"
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return ""
    return "must be https (plain http only for a loopback host)"
