"""Finding an issuer's key set by its metadata (RFC 8414, and OpenID Connect Discovery where that is all there is).

The issuer is whom the configuration names, never whom a document names: metadata counts only when it says that very
issuer (RFC 8414 section 3.3), so that no server can lend its keys to another's name. Metadata of protected
resources (RFC 9728) names issuers too, and is therefore not asked: whom we trust is not for a resource to say.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from pdp.core.errors import ConfigurationFault
from pdp.identity.compact import strict_object
from pdp.identity.fetch import Fetch
from pdp.identity.options import is_loopback, key_url_problem

_OAUTH = "/.well-known/oauth-authorization-server"
_OPENID = "/.well-known/openid-configuration"


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Where the metadata of an issuer may lie, in the order in which to ask: the well-known part goes before the
    issuer's path (RFC 8414 section 3.1), but after it in OpenID Connect Discovery 1.0 section 4."""
    parts = urlsplit(issuer)
    base, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return f"{base}{_OAUTH}{path}", f"{base}{path}{_OPENID}"


class DiscoveredFetch:
    """Fetches the key set of one issuer, by way of its metadata, each time anew: a move is followed with the next
    refresh, and what was last good serves meanwhile (see `sources.UrlKeys`)."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    async def __call__(self, issuer: str) -> bytes:
        """Raises ConfigurationFault: `keys.metadata` (no or no sound metadata), `keys.metadata_issuer` (another's),
        `keys.metadata_url` (`jwks_uri` is not to be asked), and those of the fetch of the key set."""
        url = self._key_url(await self._metadata(issuer), issuer)
        return await self._fetch(url)

    async def _metadata(self, issuer: str) -> bytes:
        first, second = metadata_urls(issuer)
        try:
            return await self._fetch(first)
        except ConfigurationFault as fault:
            if fault.code != "keys.refused":  # not a "there is no such page"
                raise
        return await self._fetch(second)

    @staticmethod
    def _key_url(document: bytes, issuer: str) -> str:
        metadata = strict_object(document)
        if metadata is None:
            raise ConfigurationFault("keys.metadata", "the issuer's metadata is no JSON object; see RFC 8414")
        if metadata.get("issuer") != issuer:
            raise ConfigurationFault(
                "keys.metadata_issuer", "the metadata found is of another issuer; correct `issuer`, or the server"
            )
        url = metadata.get("jwks_uri")
        if not isinstance(url, str) or key_url_problem(url):
            raise ConfigurationFault(
                "keys.metadata_url", "the metadata's `jwks_uri` is no https URL; have the issuer correct it"
            )
        parts = urlsplit(url)
        if parts.scheme == "http" and not is_loopback(urlsplit(issuer).hostname or ""):
            # only an issuer on this machine may send us to this machine without TLS
            raise ConfigurationFault(
                "keys.metadata_url", "the metadata's `jwks_uri` is no https URL; have the issuer correct it"
            )
        return url
