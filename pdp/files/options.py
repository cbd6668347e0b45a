"""The form of a configuration section, and the URLs that it may name."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from pdp.core.errors import ConfigurationFault
from pdp.core.names import is_loopback

_NO_POST_URL = "must be a URL with a host, without user, query and fragment"


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


def post_url_problem(url: str, *, internal: bool) -> str:
    """The reason against sending messages to a URL, or "". Plain http only where the receiver may be `internal`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return _NO_POST_URL
    if parts.scheme not in ("https", "http") or not host or port == 0 or parts.query or parts.fragment or "@" in url:
        return _NO_POST_URL
    return "" if parts.scheme == "https" or internal else "must be https; plain http only with allow_internal"


def header_problem(headers: Mapping[str, str]) -> str:
    """The reason against headers whose values are secret references, or ""."""
    for name, value in headers.items():
        if not name.isascii() or name != name.lower() or not name.replace("-", "").replace("_", "").isalnum():
            return "a header's name is lower-case letters, digits, '-' and '_'"
        if not value.startswith(("file:", "vault:")):
            return "a header's value is given as file:PATH or vault:PATH#KEY"
    return ""


def header_value(value: bytes, where: str, code: str) -> str:
    """A header's value out of a secret. Raises ConfigurationFault `code` that names the setting `where`."""
    text = value.decode("ascii") if value.isascii() else ""
    if not text.isprintable() or not text:
        raise ConfigurationFault(code, f"{where}: must be printable ASCII.")
    return text
