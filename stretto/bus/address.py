"""Addresses of NATS servers, as people write them."""

import re
from urllib.parse import urlsplit

from stretto.bus.errors import Misconfigured

__all__ = ["addresses", "shown"]

_SCHEMES = {"nats", "tls", "ws", "wss"}


def addresses(url: str) -> list[str]:
    """The servers that `url` names, with commas between.

    Raises:
        Misconfigured: one of them is no address.
    """
    servers = [one.strip() for one in url.split(",")]
    for server in servers:
        if not _is_address(server):
            raise Misconfigured(f"{shown(server)!r} is not a NATS address: use nats://host:port")
    return servers


def shown(url: str) -> str:
    """The address as it may stand in a text: without user and password."""
    return re.sub(r"[^/,@]*@", "", url)


def _is_address(server: str) -> bool:
    try:
        parts = urlsplit(server if "://" in server else f"nats://{server}")
        possible = parts.scheme in _SCHEMES and parts.port != 0
    except ValueError:
        return False
    return possible and bool(parts.hostname) and not any(one.isspace() for one in server)
