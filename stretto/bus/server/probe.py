"""The greeting that a nats-server sends to whoever connects: which server it is, and whether JetStream is on."""

import asyncio
import json
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

__all__ = ["Greeting", "greeting"]


class Greeting(BaseModel):
    """The part of the INFO message that tells servers apart."""

    server_id: str
    server_name: str
    version: str
    jetstream: bool = False


async def greeting(url: str, limit_s: float = 2.0) -> Greeting | None:
    """Return what the server at `url` says of itself, None when no nats-server answers there within the limit."""
    address = urlsplit(url)
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            try:
                line = await reader.readline()
            finally:
                writer.close()
        return Greeting.model_validate(json.loads(line.removeprefix(b"INFO ")))
    except (OSError, ValueError, ValidationError):
        # TimeoutError is an OSError, and a line without an end or without JSON a ValueError.
        return None
