"""Wire: envelopes to what a message carries and back, big bodies by reference."""

from collections.abc import Mapping

from stretto.bus.artifacts import INLINE_LIMIT_BYTES, Artifacts
from stretto.bus.codec import CONTENT_TYPE, decode, decode_body, encode, encode_body
from stretto.bus.envelope import Envelope

__all__ = ["Wire"]


class Wire:
    """Codec and artifacts together."""

    def __init__(self, *, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    async def pack(self, envelope: Envelope) -> bytes:
        """The bytes of a message. A body over 256 KiB goes to the object store first.

        Raises:
            TooLarge: the body is over the limit of artifacts too.
        """
        packed = encode(envelope)
        if len(packed) <= INLINE_LIMIT_BYTES:
            return packed
        ref = await self._artifacts.put(encode_body(envelope.body))
        return encode(envelope.model_copy(update={"body": {}, "artifact": ref}))

    async def unpack(
        self, data: bytes, headers: Mapping[str, str] | None, *, defaults: Mapping[str, str] | None = None
    ) -> Envelope:
        """The whole envelope, its body fetched if it lies in the object store.

        Raises:
            DecodeError: the bytes, or what they refer to, are no message of ours.
        """
        envelope = decode(data, content_type=(headers or {}).get(CONTENT_TYPE), defaults=defaults)
        if envelope.artifact is None:
            return envelope
        body = decode_body(await self._artifacts.get(envelope.artifact))
        return envelope.model_copy(update={"body": body, "artifact": None})
