"""The memory over the bus: the service and its client, with a memory of the test's behind them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from stretto.bus import tracing
from stretto.bus.artifacts import Artifacts
from stretto.bus.codec import decode, encode
from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.message import Message
from stretto.bus.subjects import Subjects
from stretto.bus.wire import Wire
from stretto.bus.work import Work, working_on
from stretto.shared.contracts.memory import (
    Hit,
    Hits,
    MemoryFailure,
    MemoryStats,
    Record,
    SearchMemory,
    SourceState,
    StatMemory,
)
from stretto.shared.memory.client import MemoryClient
from stretto.shared.memory.errors import MemoryFailed, MemoryRefused, MemoryUnavailable, StoreUnusable
from stretto.shared.memory.service import MemoryService
from stretto.shared.telemetry.capture import Capture, capturing
from tests.spans import attributes_of, recording, texts_of

LIMIT_S = 20.0


def record(number: int, text: str = "") -> Record:
    return Record(
        id=f"r{number}",
        text=text or f"text {number}",
        root="/docs",
        source=f"docs/{number}.md",
        writer="test",
        added_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


class ListMemory:
    """A memory that is a list, and fails when told to."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.fails: Exception | None = None
        self.adds = 0
        self.forgotten: list[tuple[str | None, tuple[str, ...], bool, str]] = []

    async def add(self, records: Sequence[Record]) -> int:
        self.adds += 1
        self.records |= {one.id: one for one in records}
        return len(records)

    async def search(self, query: str, *, scope: Sequence[str] = (), limit: int = 8) -> Hits:
        if self.fails:
            raise self.fails
        found = [one for one in self.records.values() if query in one.text and (not scope or one.root in scope)]
        return Hits(
            hits=tuple(Hit(record=one, score=1.0, similarity=0.5) for one in found[:limit]), searched=len(found)
        )

    async def get(self, ids: Sequence[str]) -> tuple[Record, ...]:
        return tuple(self.records[one] for one in ids if one in self.records)

    async def around(self, id_: str, *, reach: int = 1) -> tuple[Record, ...]:
        numbers = {one: position for position, one in enumerate(self.records)}
        here = numbers[id_]
        return tuple(one for one in self.records.values() if 0 < abs(numbers[one.id] - here) <= reach)

    async def forget(
        self, *, root: str | None = None, sources: Sequence[str] = (), everything: bool = False, keep_hash: str = ""
    ) -> int:
        self.forgotten.append((root, tuple(sources), everything, keep_hash))
        return 3

    async def sources(self, *, root: str | None = None) -> tuple[SourceState, ...]:
        return tuple(
            SourceState(root=one.root, source=one.source, hash="", passages=1) for one in self.records.values()
        )

    async def stats(self) -> MemoryStats:
        return MemoryStats(records=len(self.records), sources=1, roots=("/docs",), embedder="none", dimensions=2)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[float(len(text)), 0.5] for text in texts]


class Ground:
    """A service with one memory a tenant, and clients of it."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self.connection = connection
        self.subjects = subjects
        self.wire = Wire(artifacts=Artifacts(connection=connection, subjects=subjects))
        self.memories: dict[str, ListMemory] = {}

    def memory(self, tenant: str) -> ListMemory:
        return self.memories.setdefault(tenant, ListMemory())

    def client(self, tenant: str = "acme", timeout_s: float = LIMIT_S) -> MemoryClient:
        return MemoryClient(
            connection=self.connection,
            subjects=self.subjects,
            wire=self.wire,
            tenant=tenant,
            sender="test",
            timeout_s=timeout_s,
        )

    async def call(self, verb: str, payload: bytes) -> Envelope:
        reply = await self.connection.request(self.subjects.memory("acme", verb), payload, timeout_s=LIMIT_S)
        return decode(reply.data)


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with await Connection.open(ConnectionOptions(nats_url)) as connection, asyncio.TaskGroup() as group:
        ground = Ground(connection, Subjects(prefix))
        await Artifacts(connection=connection, subjects=ground.subjects).provision()
        service = MemoryService(
            connection=connection,
            subjects=ground.subjects,
            wire=ground.wire,
            memory_of=ground.memory,
            instance="memory-1",
        )
        group.create_task(service.run())
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    await ground.client().stats()
                    break
                except MemoryUnavailable:  # it has not subscribed yet
                    continue
        yield ground
        service.stop()


async def test_every_verb_reaches_the_tenants_memory_and_brings_back_what_it_says(ground: Ground) -> None:
    client = ground.client()
    records = [record(number) for number in range(3)]
    assert await client.add(records) == 3
    assert await client.get(["r2", "nobody", "r0"]) == (records[2], records[0])
    assert await client.around("r1") == (records[0], records[2])
    with pytest.raises(MemoryRefused):
        await client.around("r1", reach=0)
    hits = await client.search("text 1", scope=["/docs"], limit=2)
    assert [hit.record for hit in hits.hits] == [records[1]]
    assert (await client.search("text", scope=["/other"])).hits == ()
    assert await client.forget(root="/docs", sources=["docs/1.md"], keep_hash="h") == 3
    assert ground.memory("acme").forgotten == [("/docs", ("docs/1.md",), False, "h")]
    assert (await client.stats()).records == 3
    assert await client.embed(["a", "four"]) == [[1.0, 0.5], [4.0, 0.5]]


async def test_a_tenant_sees_nothing_of_another(ground: Ground) -> None:
    await ground.client("acme").add([record(1)])
    assert (await ground.client("other").search("text")).hits == ()
    assert (await ground.client("other").stats()).records == 0


async def test_many_records_go_in_batches_and_big_replies_come_back_whole(ground: Ground) -> None:
    client = ground.client()
    big = [record(number, "text " * 1_000) for number in range(150)]
    assert await client.add(big) == 150
    assert ground.memory("acme").adds > 1
    assert len((await client.search("text", limit=200)).hits) == 150


async def test_sources_come_in_pages(ground: Ground) -> None:
    memory = ground.memory("acme")
    memory.records = {f"r{number}": record(number) for number in range(4_500)}
    assert len(await ground.client().sources()) == 4_500


async def test_more_texts_than_one_call_takes_are_embedded_in_order(ground: Ground) -> None:
    rows = await ground.client().embed(["x" * (number % 7) for number in range(600)])
    assert [row[0] for row in rows] == [float(number % 7) for number in range(600)]


@pytest.mark.parametrize("error", [MemoryRefused("no"), StoreUnusable("no"), MemoryUnavailable("no")])
async def test_the_services_errors_are_the_clients(ground: Ground, error: MemoryFailed) -> None:
    ground.memory("acme").fails = error
    with pytest.raises(type(error), match="no"):
        await ground.client().search("text")


async def test_an_unforeseen_error_is_told_without_its_content_and_the_service_goes_on(ground: Ground) -> None:
    ground.memory("acme").fails = RuntimeError("with a secret in it")
    with pytest.raises(MemoryFailed) as caught:
        await ground.client().search("text")
    assert "secret" not in str(caught.value)
    assert (await ground.client().stats()).embedder == "none"


@pytest.mark.parametrize(
    ("verb", "message", "tenant"),
    [
        ("search", SearchMemory(query="text"), "other"),
        ("search", StatMemory(), "acme"),
        ("explode", StatMemory(), "acme"),
    ],
)
async def test_what_a_call_may_not_say_is_refused(ground: Ground, verb: str, message: Message, tenant: str) -> None:
    call = Envelope.of(message, tenant=tenant, run="none", sender="test")
    assert open_envelope(await ground.call(verb, encode(call)), MemoryFailure).message


async def test_junk_is_answered_with_what_is_wrong_with_it(ground: Ground) -> None:
    assert open_envelope(await ground.call("search", b"\xc1junk"), MemoryFailure).error == "DecodeError"
    assert (await ground.client().stats()).embedder == "none"


async def test_a_memory_that_is_not_there_is_unavailable(ground: Ground, prefix: str) -> None:
    nobody = Ground(ground.connection, Subjects(f"{prefix}-none"))
    with pytest.raises(MemoryUnavailable, match="stretto memory run"):
        await nobody.client(timeout_s=1.0).search("text")


async def test_each_call_is_a_span_with_how_many_records_it_concerned(ground: Ground) -> None:
    client = ground.client()
    with recording() as recorded:
        await client.add([record(number, f"canary {number}") for number in range(3)])
        await client.search("canary", limit=2)
        await client.get(["r1", "nobody"])
        await client.around("r1")
        await client.forget(root="canary")
        await client.embed(["canary"])
    calls = [one for one in recorded.spans if one.kind is SpanKind.CLIENT]
    assert [(one.name, attributes_of(one).get("gen_ai.memory.record.count")) for one in calls] == [
        ("upsert_memory", 3),
        ("search_memory", 2),
        ("get_memory", 1),
        ("around_memory", 2),
        ("delete_memory", 3),
        ("embeddings", None),
    ]
    for one in calls:
        assert attributes_of(one)["gen_ai.operation.name"] == one.name
        assert attributes_of(one)["gen_ai.memory.store.id"] == "acme"
    assert not [one.name for one in recorded.spans if "canary" in texts_of(one)]


async def test_what_the_service_does_hangs_under_the_call_of_a_run_or_of_none(ground: Ground) -> None:
    run = "r1"
    with recording() as recorded:
        await ground.client().get(["r1"])
        with working_on(Work("acme", run)), tracing.span("work", parent=tracing.parent_from(None, "acme", run)[0]):
            await ground.client().get(["r1"])
    handled = [one for one in recorded.spans if one.name == f"process {ground.subjects.prefix}.memory.{{verb}}"]
    calls = recorded.named("get_memory")
    assert [one.parent.span_id if one.parent else 0 for one in handled] == [one.context.span_id for one in calls]
    assert [attributes_of(one).get("messaging.message.conversation_id") for one in handled] == [None, run]
    assert handled[1].context.trace_id == tracing.root_of("acme", run).trace_id != handled[0].context.trace_id


async def test_a_call_that_fails_is_told_by_its_kind_and_its_query_only_where_that_is_asked_for(ground: Ground) -> None:
    ground.memory("acme").fails = StoreUnusable("canary")
    with recording() as recorded, pytest.raises(StoreUnusable):
        await ground.client().search("text")
    with recording() as captured, capturing(Capture(spans=True)), pytest.raises(StoreUnusable):
        await ground.client().search("text")
    (plain,), (full,) = recorded.named("search_memory"), captured.named("search_memory")
    assert plain.status.status_code is StatusCode.ERROR
    assert attributes_of(plain)["error.type"] == "StoreUnusable"
    assert "canary" not in texts_of(plain)
    assert "gen_ai.memory.query.text" not in attributes_of(plain)
    assert attributes_of(full)["gen_ai.memory.query.text"] == "text"
