"""Artifacts: bodies too big for a message, kept in a NATS object store (ADR-20) under their SHA-256.

The store is written and read as the stream that it is: by stores and batched direct gets, so that a process needs no right to create
consumers, and a reconnect or a missing piece leaves nobody waiting.
"""

import base64
import contextlib
import hashlib
import json
from datetime import UTC, datetime

from stretto.bus.connection import Connection
from stretto.bus.envelope import ArtifactRef, new_id
from stretto.bus.errors import Conflict, DecodeError, TooLarge
from stretto.bus.jetstream import Stored
from stretto.bus.provisioning import provision
from stretto.bus.streams import StreamSpec
from stretto.bus.subjects import Subjects

__all__ = ["INLINE_LIMIT_BYTES", "MAX_ARTIFACT_BYTES", "Artifacts"]

INLINE_LIMIT_BYTES = 256 * 1024
MAX_ARTIFACT_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 128 * 1024


class Artifacts:
    """The object store of one deployment. The same bytes are the same artifact."""

    def __init__(self, *, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._bucket = subjects.stream("ARTIFACTS")
        self._stream = f"OBJ_{self._bucket}"

    async def provision(self, *, replicas: int = 1) -> None:
        """Create the store if it is not there.

        Raises:
            StreamDiffers: it exists with another configuration.
        """
        spec = StreamSpec(
            name=self._stream,
            config={
                "subjects": [f"$O.{self._bucket}.C.>", f"$O.{self._bucket}.M.>"],
                "retention": "limits",
                "storage": "file",
                "discard": "new",
                "num_replicas": replicas,
                "allow_rollup_hdrs": True,
                "allow_direct": True,
            },
        )
        await provision(self._connection, spec)

    async def put(self, data: bytes) -> ArtifactRef:
        """Store `data` unless it is there already.

        Raises:
            TooLarge: over `MAX_ARTIFACT_BYTES`.
            StreamMissing, TimedOut, Unreachable, Busy, NotPermitted: see `stretto.bus.errors`.
        """
        if len(data) > MAX_ARTIFACT_BYTES:
            raise TooLarge(f"a body of {len(data)} bytes is over the limit of {MAX_ARTIFACT_BYTES}")
        digest = hashlib.sha256(data)
        ref = ArtifactRef(sha256=digest.hexdigest(), size_bytes=len(data))
        there = await self._connection.jetstream.last(self._stream, self._meta(ref))
        if there is not None and _nuid(there) is not None:
            return ref
        nuid = new_id()
        pieces = range(0, len(data), _CHUNK_BYTES)
        seq = 0
        for start in pieces:
            seq = await self._append(self._chunks(nuid), data[start : start + _CHUNK_BYTES], after=seq)
        meta = {
            "name": ref.sha256,
            "bucket": self._bucket,
            "nuid": nuid,
            "size": len(data),
            "chunks": len(pieces),
            "digest": f"SHA-256={base64.urlsafe_b64encode(digest.digest()).decode()}",
            "mtime": datetime.now(UTC).isoformat(),
            "options": {"max_chunk_size": _CHUNK_BYTES},
        }
        with contextlib.suppress(Conflict):  # it is there by now: these bytes, since it has their name
            after = there.seq if there is not None else 0
            await self._connection.jetstream.store(self._meta(ref), json.dumps(meta).encode(), expect=after)
        return ref

    async def get(self, ref: ArtifactRef) -> bytes:
        """The bytes behind a reference, checked against their hash.

        Raises:
            DecodeError: there is none, or it is not what it should be.
            StreamMissing, TimedOut, Unreachable, NotPermitted: see `stretto.bus.errors`.
        """
        if ref.size_bytes > MAX_ARTIFACT_BYTES:
            raise DecodeError(f"artifact {ref.sha256[:12]} is over the limit of {MAX_ARTIFACT_BYTES} bytes")
        meta = await self._connection.jetstream.last(self._stream, self._meta(ref))
        if meta is None:
            raise DecodeError(f"artifact {ref.sha256[:12]} is not in the store")
        nuid = _nuid(meta)
        if nuid is None:
            raise DecodeError(f"artifact {ref.sha256[:12]} is not in the store any more")
        data = b"".join(
            [chunk.data for chunk in await self._connection.jetstream.read(self._stream, self._chunks(nuid))]
        )
        if len(data) != ref.size_bytes or hashlib.sha256(data).hexdigest() != ref.sha256:
            raise DecodeError(f"artifact {ref.sha256[:12]} is damaged")
        return data

    async def _append(self, subject: str, piece: bytes, *, after: int) -> int:
        """Append one chunk. Nobody else writes to the subject: a conflict is this same chunk, sent again after a reconnect."""
        try:
            return await self._connection.jetstream.store(subject, piece, expect=after)
        except Conflict:
            there = await self._connection.jetstream.last(self._stream, subject)
            return there.seq if there is not None else 0

    def _meta(self, ref: ArtifactRef) -> str:
        return f"$O.{self._bucket}.M.{base64.urlsafe_b64encode(ref.sha256.encode()).decode()}"

    def _chunks(self, nuid: str) -> str:
        return f"$O.{self._bucket}.C.{nuid}"


def _nuid(meta: Stored) -> str | None:
    """The name of the object's chunks, out of what the store says of it; None for an object that was deleted or is none."""
    try:
        fields = json.loads(meta.data)
        nuid = None if fields.get("deleted") else fields["nuid"]
    except (ValueError, LookupError, AttributeError):
        return None
    return nuid if isinstance(nuid, str) and nuid.isalnum() else None
