"""Evidence: the ledger's side of what happened, and the bus's as the independent reader saw it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from stretto.bus.dead_letters import DeadLetter
from stretto.bus.envelope import open_envelope
from stretto.bus.errors import DecodeError
from stretto.bus.message import Message
from stretto.shared.contracts.account import Account
from stretto.shared.contracts.answer import Answer
from tests.chaos.ledger import Answered, Call, Effect, Ledger, Submitted
from tests.chaos.reader import ConsumerState, Reader, Seen

__all__ = ["Evidence", "epoch_s", "opened", "told"]

Opened = TypeVar("Opened", bound=Message)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The ledger's side, and the bus's as the independent reader saw it."""

    submitted: Sequence[Submitted]
    answered: Sequence[Answered]
    calls: Sequence[Call]
    poisoned: frozenset[str]
    seen: Sequence[Seen]
    letters: Sequence[DeadLetter]
    consumers: Sequence[ConsumerState]
    queued: Sequence[str]
    accounts: Sequence[Account]

    @classmethod
    async def gather(cls, ledger: Ledger, reader: Reader) -> "Evidence":
        """What is known now. Every answer that is seen is written into the ledger first."""
        seen = await reader.read()
        for one in seen:
            if one.kind == "answer" and one.envelope is not None:
                answer = Answer.model_validate(one.envelope.body)
                text = str((answer.output or {}).get("text", answer.text or answer.reason))
                ledger.answer(Answered(one.run, one.seq, answer.state, text))
        return cls(
            submitted=ledger.submitted(),
            answered=ledger.answered(),
            calls=ledger.calls(),
            poisoned=frozenset(ledger.poisoned()),
            seen=seen,
            letters=await reader.letters(),
            consumers=await reader.consumers(),
            queued=await reader.queued(),
            accounts=await reader.accounts(),
        )


def opened(one: Seen, kind: type[Opened]) -> Opened | None:
    """The message that it is; None where it is none, or another."""
    try:
        return open_envelope(one.envelope, kind) if one.envelope else None
    except DecodeError:
        return None


def epoch_s() -> float:
    """What the ledger's clock is behind the server's."""
    return time.time() - time.monotonic()


def told(effect: Effect) -> str:
    """The effect, for people."""
    return f"{effect.run} {effect.task}.{effect.attempt} step {effect.position}"
