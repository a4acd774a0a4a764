"""NatsClient: nats-py's client, made safe against hostile bytes and dead peers."""

import logging
import socket
import sys
from typing import Any

from nats.aio.client import Client, Srv
from nats.aio.transport import TcpTransport

__all__ = ["NatsClient"]

_log = logging.getLogger(__name__)
_SILENCE_LIMIT_MS = 20_000


class NatsClient(Client):
    """As `nats.aio.client.Client`, with two holes closed.

    * Headers or a subject that cannot be decoded end nats-py's read loop for good, while `is_connected` stays true: anybody who may
      publish could make every reader deaf with a few bytes. Here such headers are left out, and such a subject is read with U+FFFD in
      it: the message is then refused like any other junk.
    * A peer that vanishes while the send buffer is full makes nats-py's reconnect wait for ever (nats.py issue 671). Here the kernel
      gives the connection up when nothing that was sent is acknowledged for 20 seconds.
    """

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except Exception as error:  # noqa: BLE001 (hostile bytes raise anything; here it would end the read loop)
            _log.warning("a message's headers cannot be read (%s): they are left out", type(error).__name__)
            return None

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        # As nats-py's, which looks at every character of every name by itself: that took longer than the rest of the message.
        found: dict[str, str] = {}
        for line in raw.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon and name.isascii():
                words = name.decode().split()
                if len(words) == 1:
                    found[words[0]] = value.strip().decode("utf-8", "replace")
        return found

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Any:
        return super()._build_message(sid, _readable(subject), _readable(reply), data, headers)

    async def _connect_to_server(self, s: Srv) -> None:
        await super()._connect_to_server(s)
        if sys.platform == "linux" and isinstance(self._transport, TcpTransport):
            writer = self._transport._io_writer  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # shown nowhere else
            if writer is not None:
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE_LIMIT_MS)


def _readable(subject: bytes) -> bytes:
    return subject if subject.isascii() else subject.decode("utf-8", "replace").encode()
