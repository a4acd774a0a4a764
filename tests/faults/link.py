"""Link: one connection through the proxy, in two directions that can be broken one by one."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Callable
from enum import StrEnum

from tests.faults.frames import Frame, Frames

__all__ = ["Direction", "Link", "Mode", "reset"]

_READ_BYTES = 64 * 1024
_QUEUED = 16


class Mode(StrEnum):
    """What happens to the bytes of one direction.

    PASS: they go on. DROP: they are taken and thrown away: nothing arrives, and nobody is told. STALL: they are not taken any more: buffers
    fill, up to the sender.
    """

    PASS = "pass"  # noqa: S105 (no password)
    DROP = "drop"
    STALL = "stall"


class Direction:
    """One direction of a link.

    Attributes:
        delay_s: how much later everything arrives.
        holed: bytes were dropped, so that what comes behind them could not be understood.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: Callable[[Frame], bool]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._keep = keep
        self._frames = Frames()
        self._moved = asyncio.Event()
        self._read: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=_QUEUED)
        self.mode = Mode.PASS
        self.delay_s = 0.0
        self.holed = False

    def become(self, mode: Mode) -> None:
        self.mode = mode
        self._moved.set()
        self._moved = asyncio.Event()

    def inject(self, data: bytes) -> None:
        """Say something in the sender's name."""
        self._writer.write(data)

    async def run(self) -> None:
        """Carry bytes until the sender closes, which is passed on when something passes again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take())
            await self._give()

    async def _take(self) -> None:
        now, data = asyncio.get_running_loop().time, b"first"
        while data:
            await self._while_stalled()
            try:
                data = await self._reader.read(_READ_BYTES)
            except OSError:
                data = b""
            await self._read.put((now(), data))

    async def _give(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            at, data = await self._read.get()
            if self.delay_s:
                await asyncio.sleep(max(0.0, at + self.delay_s - loop.time()))
            await self._while_stalled()
            while not data and self.mode is not Mode.PASS:  # the end does not get through either
                await self._moved.wait()
            if not data:
                return
            frames = self._frames.feed(data)
            if self.mode is Mode.DROP:
                self.holed = True
                continue
            kept = [frame.data for frame in frames if self._keep(frame)]
            if kept and not self.holed:
                with contextlib.suppress(OSError):  # the receiver is gone: its own end of the link tells
                    self._writer.writelines(kept)
                    await self._writer.drain()

    async def _while_stalled(self) -> None:
        while self.mode is Mode.STALL:
            await self._moved.wait()


class Link:
    """One connection. `name` is what the client calls itself; `up` goes to the server, `down` to the client."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        *,
        keep_up: Callable[[Frame], bool],
        keep_down: Callable[[Frame], bool],
    ) -> None:
        self.name = ""
        self._writers = (client[1], server[1])

        def keep(frame: Frame) -> bool:
            if frame.verb == "CONNECT":
                self.name = str(json.loads(frame.words[1]).get("name", ""))
            return keep_up(frame)

        self.up = Direction(client[0], server[1], keep=keep)
        self.down = Direction(server[0], client[1], keep=keep_down)

    async def run(self) -> None:
        """Until one side closes."""
        directions = [asyncio.ensure_future(one.run()) for one in (self.up, self.down)]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            for writer in self._writers:
                writer.close()

    def become(self, up: Mode, down: Mode) -> None:
        """Set both directions. A link that has lost bytes is reset before anything passes again, as by a firewall that forgot it."""
        self.up.become(up)
        self.down.become(down)
        if (self.up.holed and up is Mode.PASS) or (self.down.holed and down is Mode.PASS):
            self.reset()

    def reset(self) -> None:
        """End it with RST on both sides, whatever is on its way."""
        for writer in self._writers:
            reset(writer)
        for direction in (self.up, self.down):
            direction.become(Mode.PASS)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, at once."""
    ended = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, ValueError, AttributeError):  # it has ended already, which uvloop tells by these
        ended.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
