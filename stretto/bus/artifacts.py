"""Artifacts: bodies too big for a message, kept in the object store under their SHA-256."""

import hashlib

from nats.errors import Error as NatsError
from nats.js.api import ObjectStoreConfig
from nats.js.client import JetStreamContext
from nats.js.errors import BucketNotFoundError, ObjectNotFoundError
from nats.js.object_store import ObjectStore

from stretto.bus.connection import Connection
from stretto.bus.envelope import ArtifactRef
from stretto.bus.errors import BusError, DecodeError, StreamMissing, TooLarge
from stretto.bus.subjects import Subjects

__all__ = ["INLINE_LIMIT_BYTES", "MAX_ARTIFACT_BYTES", "Artifacts"]

INLINE_LIMIT_BYTES = 256 * 1024
MAX_ARTIFACT_BYTES = 64 * 1024 * 1024


class Artifacts:
    """The object store of one deployment. The same bytes are the same artifact."""

    def __init__(self, *, connection: Connection, subjects: Subjects) -> None:
        self._js: JetStreamContext = connection.client.jetstream()
        self._bucket = subjects.stream("ARTIFACTS")
        self._store: ObjectStore | None = None

    async def provision(self, *, replicas: int = 1) -> None:
        """Create the store if it is not there."""
        try:
            await self._js.object_store(self._bucket)
        except BucketNotFoundError:
            self._store = await self._js.create_object_store(self._bucket, ObjectStoreConfig(replicas=replicas))

    async def put(self, data: bytes) -> ArtifactRef:
        """Store `data` unless it is there already.

        Raises:
            TooLarge: over `MAX_ARTIFACT_BYTES`.
        """
        if len(data) > MAX_ARTIFACT_BYTES:
            raise TooLarge(f"a body of {len(data)} bytes is over the limit of {MAX_ARTIFACT_BYTES}")
        ref = ArtifactRef(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        store = await self._open()
        try:
            await store.get_info(ref.sha256)
        except ObjectNotFoundError:
            await store.put(ref.sha256, data)
        except NatsError as error:
            raise BusError(f"artifact {ref.sha256[:12]} was not stored: {error}") from error
        return ref

    async def get(self, ref: ArtifactRef) -> bytes:
        """The bytes behind a reference, checked against their hash.

        Raises:
            DecodeError: there is none, or it is not what it should be.
        """
        if ref.size_bytes > MAX_ARTIFACT_BYTES:
            raise DecodeError(f"artifact {ref.sha256[:12]} is over the limit of {MAX_ARTIFACT_BYTES} bytes")
        store = await self._open()
        try:
            found = await store.get(ref.sha256)
        except ObjectNotFoundError as error:
            raise DecodeError(f"artifact {ref.sha256[:12]} is not in the store") from error
        except NatsError as error:
            raise BusError(f"artifact {ref.sha256[:12]} was not read: {error}") from error
        data = found.data or b""
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise DecodeError(f"artifact {ref.sha256[:12]} is damaged")
        return data

    async def _open(self) -> ObjectStore:
        if self._store is None:
            try:
                self._store = await self._js.object_store(self._bucket)
            except BucketNotFoundError as error:
                raise StreamMissing(
                    f"there is no object store {self._bucket}: is a supervisor running for this prefix?"
                ) from error
        return self._store
