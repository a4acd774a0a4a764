"""Dead letter office: where an operator looks through the dead letters, and has them put back or laid aside."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stretto.bus.connection import Connection
from stretto.bus.dead_letters import DeadKind, DeadLetter, open_letter
from stretto.bus.errors import DecodeError, StreamMissing, Unverified
from stretto.bus.jetstream import Stored
from stretto.bus.settlements import LetterState, Settlements, Standing
from stretto.bus.subjects import Subjects
from stretto.bus.wire import Wire

__all__ = ["DeadLetterOffice", "KeptLetter", "LetterFilter"]

_WINDOW = 100
"""So many messages are read at once: each may have a body of 256 KiB."""
_ID = re.compile(r"[0-9a-f]{16}")
_STRAY = re.compile(r"at-[0-9]{1,18}")
_TENANT_AT = {"run": 2, "step": 2, "task": 2}
"""Where the tenant stands in a subject behind the prefix, by the kind of subject."""


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """One dead letter as it is kept.

    Attributes:
        number: its sequence among the dead letters, by which people call it.
        id: what tells its message from all others; whoever gave it up, and however often, it is one.
        at: when it was given up, by the server's clock; sender: by whom.
        standing: what became of it.
        tenant: whose message it was by its subject, empty where that does not say it.
    """

    number: int
    id: str
    at: datetime
    sender: str
    letter: DeadLetter
    standing: Standing
    tenant: str


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant.

    Attributes:
        source: those of messages that came on this subject (the prefix may be left out) or below it.
        since: those given up at this time or later.
        states: those that stand so.
    """

    source: str = ""
    kind: DeadKind | None = None
    tenant: str | None = None
    since: datetime | None = None
    states: tuple[LetterState, ...] = ("open", "replaying")

    def takes(self, kept: KeptLetter) -> bool:
        """Whether a letter that came from the source is meant."""
        return (
            self.kind in {None, kept.letter.kind}
            and self.tenant in {None, kept.tenant}
            and (self.since is None or kept.at >= self.since)
            and kept.standing.state in self.states
        )


class DeadLetterOffice:
    """Reads the dead letters. What lies among them and is none is shown too, as a letter about itself."""

    def __init__(self, *, connection: Connection, subjects: Subjects, wire: Wire, settlements: Settlements) -> None:
        self._connection = connection
        self._subjects = subjects
        self._wire = wire
        self._settlements = settlements
        self._stream = subjects.stream("DEAD")

    async def newest(self, wanted: LetterFilter, *, limit: int, before: int | None = None) -> list[KeptLetter]:
        """Up to `limit` letters, the newest first, and only such with a number below `before`.

        Raises:
            StreamMissing: there are no streams yet.
        """
        settled = await self._settlements.all()
        state = (await self._info())["state"]
        first, until = int(state["first_seq"]), int(state["last_seq"]) + 1
        until = until if before is None else min(until, before)
        found: list[KeptLetter] = []
        while until > first and len(found) < limit:
            start = max(first, until - _WINDOW)
            window = await self._connection.jetstream.read(
                self._stream,
                self._subjects.any_dead(wanted.source),
                from_seq=start,
                until_seq=until,
                batch=_WINDOW,
            )
            letters = [await self._kept(one, settled) for one in reversed(window)]
            found += [one for one in letters if wanted.takes(one)]
            if wanted.since is not None and letters and letters[-1].at < wanted.since:
                break
            until = start
        return found[:limit]

    async def find(self, number: int) -> KeptLetter | None:
        """The letter of this number.

        Raises:
            StreamMissing: there are no streams yet.
        """
        stored = await self._connection.jetstream.get(self._stream, number)
        if stored is None or not stored.subject.startswith(self._subjects.any_dead().removesuffix(">")):
            return None
        name = _id(stored)
        return await self._kept(stored, {name: await self._settlements.of(name)})

    async def unsettled(self) -> int:
        """How many letters are neither replayed nor discarded.

        Raises:
            StreamMissing: there are no streams yet.
        """
        standings = await self._settlements.all()
        settled = {name for name, one in standings.items() if one.state in {"replayed", "discarded"}}
        open_letters = strays = offset = 0
        while True:
            found = await self._info({"subjects_filter": self._subjects.any_dead(), "offset": offset})
            subjects: dict[str, int] = found["state"].get("subjects") or {}
            for subject, messages in subjects.items():
                name = subject.rpartition(".")[2]
                if _ID.fullmatch(name):
                    open_letters += name not in settled
                else:
                    strays += messages
            offset += len(subjects)
            if not subjects or offset >= int(found.get("total", 0)):
                break
        first = int(found["state"]["first_seq"])
        laid_aside = sum(1 for name in settled if _STRAY.fullmatch(name) and int(name.removeprefix("at-")) >= first)
        return open_letters + max(0, strays - laid_aside)

    async def discard(self, kept: KeptLetter) -> None:
        """Lay the letter aside for good: it is not open any more and cannot be replayed. It stays readable until it ages out.

        Raises:
            AlreadySettled: it was replayed, discarded, or a replay of it has begun.
        """
        await self._settlements.write(kept.id, "discarded", allowed=("open",))

    async def _kept(self, stored: Stored, settled: dict[str, Standing]) -> KeptLetter:
        name = _id(stored)
        try:
            envelope = await self._wire.unpack(stored.data, stored.headers)
            letter = open_letter(envelope, subject=stored.subject, subjects=self._subjects)
            sender = envelope.sender
        except DecodeError as error:
            letter, sender = _about_itself(stored, self._stream, error), ""
        standing = settled.get(name, Standing())
        return KeptLetter(stored.seq, name, stored.at, sender, letter, standing, self._tenant(letter.origin))

    def _tenant(self, origin: str) -> str:
        head, *tokens = origin.removeprefix(f"{self._subjects.prefix}.").split(".")
        place = _TENANT_AT.get(head, 0)
        return tokens[place - 1] if place and len(tokens) >= place else ""

    async def _info(self, asked: dict[str, Any] | None = None) -> Any:
        found = await self._connection.jetstream.api(f"STREAM.INFO.{self._stream}", asked)
        if "error" in found:
            raise StreamMissing(f"there is no stream {self._stream}: is a supervisor running for this prefix?")
        return found


def _id(stored: Stored) -> str:
    """What a letter is called in its settlements: by its subject; what is on no letter's subject by its number."""
    name = stored.subject.rpartition(".")[2]
    return name if _ID.fullmatch(name) else f"at-{stored.seq}"


def _about_itself(stored: Stored, stream: str, error: DecodeError) -> DeadLetter:
    return DeadLetter(
        origin=stored.subject,
        stream=stream,
        seq=stored.seq,
        at=stored.at,
        kind="unverified" if isinstance(error, Unverified) else "undecodable",
        deliveries=0,
        error=type(error).__name__,
        reason=f"it lies among the dead letters and is none: {error}",
        data=stored.data,
        headers=dict(stored.headers),
    )
