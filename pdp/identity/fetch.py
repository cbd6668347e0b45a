"""Getting a key set, or what says where it lies, over HTTP: bounded, no redirects, no ambient proxy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from pdp.core.errors import ConfigurationFault
from pdp.identity.keys import MAX_DOCUMENT

Fetch = Callable[[str], Awaitable[bytes]]
"""URL to body. Raises ConfigurationFault (`keys.unreachable`, `keys.refused`, `keys.too_large`)."""


class HttpFetch:
    """Fetch by httpx. Redirects are not followed, for one could lead off https; a compressed body is refused,
    for its size is not known before it is unpacked.
    """

    def __init__(self, *, timeout_seconds: float = 3.0, ca_file: Path | None = None) -> None:
        self._timeout = timeout_seconds
        try:
            self._tls = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationFault(
                "keys.ca_unreadable", "`jwks_ca_file` is not a readable PEM bundle", detail=str(error)
            ) from None

    async def __call__(self, url: str) -> bytes:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._get(url)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, TimeoutError) as error:
            raise ConfigurationFault(
                "keys.unreachable", "the key set cannot be fetched from its URL", detail=type(error).__name__
            ) from None

    async def _get(self, url: str) -> bytes:
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        async with (
            httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=self._timeout) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code != httpx.codes.OK or "content-encoding" in response.headers:
                raise ConfigurationFault(
                    "keys.refused",
                    "the URL does not answer 200 with a plain document; it must name the document itself",
                    detail=f"status {response.status_code}",
                )
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_DOCUMENT:
                    raise ConfigurationFault("keys.too_large", f"the document is larger than {MAX_DOCUMENT} bytes")
            return bytes(body)
