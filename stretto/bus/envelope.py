"""Envelope: what every message says of itself, whatever its body is."""

import os
import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from stretto.bus.errors import DecodeError
from stretto.bus.message import Message, Value
from stretto.bus.subjects import Token

__all__ = ["ArtifactRef", "Body", "Envelope", "describe", "new_id", "open_envelope"]

Body = TypeVar("Body", bound=Message)


def new_id() -> str:
    """A fresh id that may stand in a subject."""
    return os.urandom(16).hex()


class ArtifactRef(Value):
    """A body that lies in the object store: its SHA-256 in hex, and its size."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]


class Envelope(Value):
    """One message.

    Attributes:
        type: the body's `TYPE`; version: its `VERSION`, "major.minor".
        id: unique to the message; a retry of the same message keeps it.
        tenant, run: whose and which; the subject says the same.
        sender: the principal or agent that wrote it.
        cause: id of the message that led to this one.
        sent_at: the sender's clock, for people; order and deadlines go by the server's.
        deadline: when it is of no use any more.
        body: the message as data; empty when `artifact` says where the body lies.
    """

    type: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,63}$")]
    version: Annotated[str, StringConstraints(pattern=r"^\d{1,4}\.\d{1,4}$")] = "1.0"
    id: Annotated[str, Field(min_length=1, max_length=128)]
    tenant: Token
    run: Token
    sender: Token
    cause: str | None = None
    sent_at: AwareDatetime
    deadline: AwareDatetime | None = None
    body: dict[str, Any] = Field(default_factory=dict)
    artifact: ArtifactRef | None = None

    @classmethod
    def of(
        cls,
        message: Message,
        *,
        tenant: str,
        run: str,
        sender: str,
        cause: str | None = None,
        message_id: str | None = None,
    ) -> "Envelope":
        """Wrap a message."""
        return cls(
            type=message.TYPE,
            version=message.VERSION,
            id=message_id or new_id(),
            tenant=tenant,
            run=run,
            sender=sender,
            cause=cause,
            sent_at=datetime.now(UTC),
            body=message.model_dump(),
        )


def open_envelope(envelope: Envelope, body_type: type[Body]) -> Body:
    """The envelope's body as a `body_type`.

    Raises:
        DecodeError: it is of another type or major version, or does not validate; the text holds no content.
    """
    if envelope.type != body_type.TYPE:
        raise DecodeError(f"message type is {envelope.type!r} where {body_type.TYPE!r} belongs")
    major, known = envelope.version.partition(".")[0], body_type.VERSION.partition(".")[0]
    if major != known:
        raise DecodeError(f"{envelope.type} has version {envelope.version}; this program reads {known}.x")
    try:
        return body_type.model_validate(envelope.body)
    except ValidationError as error:
        raise DecodeError(f"{envelope.type}: {describe(error)}") from error


def describe(error: ValidationError) -> str:
    """What is wrong and where, without the values."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    shown = [f"{'.'.join(map(_place, one['loc'])) or 'message'}: {one['msg']}" for one in problems[:5]]
    more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
    return "; ".join(shown) + more


def _place(part: str | int) -> str:
    """A step on the way to a field. Keys of free maps are content too: only what looks like a name of ours is shown."""
    return str(part) if isinstance(part, int) or re.fullmatch(r"[\w-]{1,40}", part) else "?"
