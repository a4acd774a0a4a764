"""Artifacts: big bodies travel by reference and come back as they were, or not at all."""

import asyncio
import json
from collections.abc import AsyncGenerator

import nats
import pytest

from stretto.bus.artifacts import INLINE_LIMIT_BYTES, MAX_ARTIFACT_BYTES, Artifacts
from stretto.bus.codec import decode, encode
from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.envelope import ArtifactRef, Envelope
from stretto.bus.errors import DecodeError, StreamMissing, TooLarge
from stretto.bus.subjects import Subjects
from tests.integration.ground import Ground, Note, open_ground, wrap


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix) as ground:
        yield ground


def bucket(ground: Ground) -> str:
    return ground.subjects.stream("ARTIFACTS")


def envelope_of(ground: Ground, size_bytes: int) -> Envelope:
    """An envelope that takes exactly this many bytes."""
    envelope = wrap(Note(text="x" * size_bytes), ground.key(), message_id="m1")
    over = len(encode(envelope)) - size_bytes
    return envelope.model_copy(update={"body": {"text": "x" * (size_bytes - over), "more": {}}})


@pytest.mark.parametrize(("over", "refers"), [(-1, False), (0, False), (1, True)])
async def test_a_body_goes_by_reference_from_256_kib_on(ground: Ground, over: int, refers: bool) -> None:
    envelope = envelope_of(ground, INLINE_LIMIT_BYTES + over)
    data = await ground.wire.pack(envelope)
    sent = decode(data)
    assert (sent.artifact is not None) == refers
    assert len(data) < 1_000 if refers else len(data) == INLINE_LIMIT_BYTES + over
    assert await (await ground.again()).wire.unpack(data, None) == envelope


@pytest.mark.parametrize("size_bytes", [0, 1, 128 * 1024, 128 * 1024 + 1, 3_000_000])
async def test_what_is_put_is_got_by_whoever_has_the_reference(ground: Ground, size_bytes: int) -> None:
    data = bytes(number % 251 for number in range(size_bytes))
    ref = await ground.artifacts.put(data)
    assert ref.size_bytes == size_bytes
    assert await (await ground.again()).artifacts.get(ref) == data


async def test_the_same_bytes_are_stored_once_also_by_two_at_once(ground: Ground) -> None:
    data = b"same" * 100_000
    stream = f"OBJ_{bucket(ground)}"
    ref = await ground.artifacts.put(data)
    held = await ground.depth(stream)
    assert await ground.artifacts.put(data) == ref
    assert await ground.depth(stream) == held
    async with asyncio.TaskGroup() as group:
        puts = [group.create_task(ground.artifacts.put(b"other" * 100_000)) for _ in range(4)]
    assert {put.result() for put in puts} == {puts[0].result()}
    assert await ground.artifacts.get(puts[0].result()) == b"other" * 100_000


async def test_other_programs_can_read_and_write_the_store(ground: Ground) -> None:
    ref = await ground.artifacts.put(b"ours" * 50_000)
    async with await nats.connect(ground.url) as other:
        store = await other.jetstream().object_store(bucket(ground))
        assert (await store.get(ref.sha256)).data == b"ours" * 50_000


async def test_a_reference_to_nothing_is_a_decode_error(ground: Ground) -> None:
    with pytest.raises(DecodeError, match="not in the store"):
        await ground.artifacts.get(ArtifactRef(sha256="0" * 64, size_bytes=5))


async def test_a_damaged_artifact_is_a_decode_error_and_nobody_waits_for_what_is_missing(ground: Ground) -> None:
    stream = f"OBJ_{bucket(ground)}"
    ref = await ground.artifacts.put(b"whole" * 100_000)
    chunks = await ground.connection.jetstream.read(stream, f"$O.{bucket(ground)}.C.>")
    await ground.connection.jetstream.api(f"STREAM.MSG.DELETE.{stream}", {"seq": chunks[1].seq})
    with pytest.raises(DecodeError, match="damaged"):
        await ground.artifacts.get(ref)
    for chunk in chunks[:1] + chunks[2:]:
        await ground.connection.jetstream.api(f"STREAM.MSG.DELETE.{stream}", {"seq": chunk.seq})
    with pytest.raises(DecodeError, match="damaged"):
        await ground.artifacts.get(ref)


async def test_a_reference_with_another_size_is_a_decode_error(ground: Ground) -> None:
    ref = await ground.artifacts.put(b"five!")
    with pytest.raises(DecodeError, match="damaged"):
        await ground.artifacts.get(ref.model_copy(update={"size_bytes": 6}))
    with pytest.raises(DecodeError, match="over the limit"):
        await ground.artifacts.get(ref.model_copy(update={"size_bytes": MAX_ARTIFACT_BYTES + 1}))


@pytest.mark.parametrize(
    "meta", [b"junk", b"[]", b"{}", b'{"nuid": 7}', b'{"nuid": ">"}', b'{"nuid": "a", "deleted": true}']
)
async def test_junk_in_the_store_is_a_decode_error_and_does_not_keep_the_artifact_out(
    ground: Ground, meta: bytes
) -> None:
    ref = await ground.artifacts.put(b"five!")
    (stored,) = await ground.connection.jetstream.read(f"OBJ_{bucket(ground)}", f"$O.{bucket(ground)}.M.>")
    assert json.loads(stored.data)["size"] == 5
    await ground.connection.jetstream.store(stored.subject, meta)
    with pytest.raises(DecodeError):
        await ground.artifacts.get(ref)
    assert await ground.artifacts.put(b"five!") == ref
    assert await ground.artifacts.get(ref) == b"five!"


async def test_what_is_over_the_limit_is_too_large(ground: Ground) -> None:
    with pytest.raises(TooLarge):
        await ground.artifacts.put(b"x" * (MAX_ARTIFACT_BYTES + 1))
    with pytest.raises(TooLarge):
        await ground.wire.pack(envelope_of(ground, MAX_ARTIFACT_BYTES + 1))


async def test_a_body_that_is_no_body_is_a_decode_error(ground: Ground) -> None:
    ref = await ground.artifacts.put(b"\xc1junk")
    envelope = wrap(Note(), ground.key()).model_copy(update={"body": {}, "artifact": ref})
    with pytest.raises(DecodeError):
        await ground.wire.unpack(encode(envelope), None)


async def test_without_a_store_it_says_that_there_is_none(nats_url: str, prefix: str) -> None:
    async with await Connection.open(ConnectionOptions(nats_url, timeout_s=1.0)) as connection:
        artifacts = Artifacts(connection=connection, subjects=Subjects(prefix))
        with pytest.raises(StreamMissing):
            await artifacts.put(b"x")
        with pytest.raises(StreamMissing):
            await artifacts.get(ArtifactRef(sha256="0" * 64, size_bytes=5))
