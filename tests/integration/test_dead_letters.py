"""Dead letters: each message that is given up has one, with all its bytes; none is acknowledged before; an operator finds them all."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

import pytest

from stretto.bus.dead_letter_office import DeadLetterOffice, KeptLetter, LetterFilter
from stretto.bus.dead_letters import DeadKind, DeadLetters, letter_id
from stretto.bus.delivery import Delivery, Disposition
from stretto.bus.errors import AlreadySettled, DecodeError, StreamMissing, Unverified
from stretto.bus.jetstream import Stored
from stretto.bus.settlements import Settlements
from tests.integration.ground import LIMIT_S, Ground, Note, Running, open_ground, wrap

JUNK = b"\x00\xffjunk"


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix, run_lease_s=1.0) as ground:
        yield ground


def graves(ground: Ground, sender: str = "s1") -> DeadLetters:
    return DeadLetters(connection=ground.connection, subjects=ground.subjects, wire=ground.wire, sender=sender)


def office(ground: Ground, principal: str = "ann") -> DeadLetterOffice:
    settlements = Settlements(
        connection=ground.connection, subjects=ground.subjects, wire=ground.wire, principal=principal
    )
    return DeadLetterOffice(
        connection=ground.connection, subjects=ground.subjects, wire=ground.wire, settlements=settlements
    )


async def store(
    ground: Ground, subject: str, data: bytes = JUNK, *, headers: dict[str, str] | None = None
) -> tuple[str, Stored]:
    """Store a message on a subject of the shard; return its stream and what lies there."""
    seq = await ground.connection.jetstream.store(subject, data, headers=headers)
    stored = await ground.connection.jetstream.get(ground.shard, seq)
    assert stored is not None
    return ground.shard, stored


async def bury(
    ground: Ground,
    run: str = "r1",
    *,
    tenant: str = "default",
    kind: DeadKind = "undecodable",
    data: bytes = JUNK,
    headers: dict[str, str] | None = None,
) -> Stored:
    """One message on a request's subject, given up."""
    stream, stored = await store(
        ground, f"{ground.subjects.prefix}.run.0.{tenant}.{run}.request.ann", data, headers=headers
    )
    await graves(ground).keep(stored, stream=stream, kind=kind, reason="for tests", error="TestError", deliveries=2)
    return stored


async def listed(
    ground: Ground, wanted: LetterFilter | None = None, *, limit: int = 1_000, before: int | None = None
) -> list[KeptLetter]:
    return await office(ground).newest(wanted or LetterFilter(), limit=limit, before=before)


# Giving up


class Undertaker:
    """A handler that gives up whatever it gets."""

    def __init__(self, dead: DeadLetters, error: Exception | None = None) -> None:
        self.came: asyncio.Queue[int] = asyncio.Queue()
        self._dead = dead
        self._error = error

    async def __call__(self, delivery: Delivery) -> Disposition:
        self.came.put_nowait(delivery.deliveries)
        return await self._dead.bury(delivery, "it is of no use", error=self._error)

    async def next(self) -> int:
        """How often the next message has come by now."""
        async with asyncio.timeout(LIMIT_S):
            return await self.came.get()


async def acknowledged(ground: Ground, seq: int) -> None:
    """Wait until the shard's consumer is done with everything up to `seq`."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            info = await ground.connection.jetstream.api(f"CONSUMER.INFO.{ground.shard}.supervisors")
            if info["ack_floor"]["stream_seq"] >= seq:
                return


async def test_a_letter_says_everything_about_its_message(ground: Ground) -> None:
    subject = ground.subjects.request(ground.key(), "ann")
    undertaker = Undertaker(graves(ground), Unverified("says another"))
    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.pinned(), undertaker)
        stream, stored = await store(ground, subject, headers={"Kind": "odd"})
        await acknowledged(ground, stored.seq)
        await running.stop()
    (kept,) = await listed(ground)
    letter = kept.letter
    assert (letter.origin, letter.stream, letter.seq, letter.at) == (subject, stream, stored.seq, stored.at)
    assert (letter.data, letter.headers, letter.complete) == (JUNK, {"Kind": "odd"}, True)
    assert (letter.kind, letter.error, letter.reason, letter.deliveries) == (
        "unverified",
        "Unverified",
        "it is of no use",
        1,
    )
    assert (kept.tenant, kept.sender, kept.standing.state) == ("default", "s1", "open")


@pytest.mark.parametrize(
    ("error", "kind"),
    [(None, "undecodable"), (DecodeError("x"), "undecodable"), (Unverified("x"), "unverified")],
)
async def test_the_error_says_what_kind_of_letter_it_is(ground: Ground, error: Exception | None, kind: str) -> None:
    undertaker = Undertaker(graves(ground), error)
    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.pinned(), undertaker)
        await acknowledged(ground, await ground.request("r1"))
        await running.stop()
    assert [one.letter.kind for one in await listed(ground)] == [kind]


async def test_nothing_is_acknowledged_that_could_not_be_kept(ground: Ground) -> None:
    dead = ground.subjects.stream("DEAD")
    config = (await ground.connection.jetstream.api(f"STREAM.INFO.{dead}"))["config"]
    assert (await ground.connection.jetstream.api(f"STREAM.DELETE.{dead}"))["success"]
    undertaker = Undertaker(graves(ground))
    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.pinned(), undertaker)
        seq = await ground.request("r1")
        assert await undertaker.next() == 1
        assert await undertaker.next() == 2, "it comes again"
        assert (await ground.connection.jetstream.api(f"CONSUMER.INFO.{ground.shard}.supervisors"))["ack_floor"][
            "stream_seq"
        ] < seq
        assert "error" not in await ground.connection.jetstream.api(f"STREAM.CREATE.{dead}", config)
        await acknowledged(ground, seq)
        await running.stop()
    assert [one.letter.seq for one in await listed(ground)] == [seq]


async def test_a_message_has_one_letter_whoever_gives_it_up_and_how_often(ground: Ground) -> None:
    stream, stored = await store(ground, ground.subjects.request(ground.key(), "ann"))

    async def give_up(sender: str, reason: str) -> str:
        return await graves(ground, sender).keep(stored, stream=stream, kind="undecodable", reason=reason)

    names = {await give_up("s1", "first"), await give_up("s2", "second")}
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(give_up(f"s{number}", "at once"))
    assert names == {letter_id(stream, stored.seq, stored.at)}
    assert [(one.letter.reason, one.sender) for one in await listed(ground)] == [("first", "s1")]
    assert await ground.depth(ground.subjects.stream("DEAD")) == 1


async def test_equal_messages_have_a_letter_each(ground: Ground) -> None:
    first, second = await bury(ground), await bury(ground)
    assert [one.letter.seq for one in await listed(ground)] == [second.seq, first.seq]


async def test_junk_where_a_letter_belongs_does_not_stand_in_its_way(ground: Ground) -> None:
    stream, stored = await store(ground, ground.subjects.request(ground.key(), "ann"))
    place = ground.subjects.dead(stored.subject, letter_id(stream, stored.seq, stored.at))
    await ground.connection.jetstream.store(place, b"junk")
    for _ in range(2):
        await graves(ground).keep(stored, stream=stream, kind="undecodable", reason="r")
    assert {one.letter.data for one in await listed(ground)} == {JUNK, b"junk"}
    assert await ground.depth(ground.subjects.stream("DEAD")) == 2


async def test_the_largest_message_is_kept_whole(ground: Ground) -> None:
    largest = bytes(range(256)) * (ground.connection.max_payload_bytes // 256)
    await bury(ground, data=largest)
    (kept,) = await listed(ground)
    assert kept.letter.data == largest
    assert kept.letter.complete


async def test_a_message_with_more_headers_than_a_letter_takes_is_kept_without_them(ground: Ground) -> None:
    await bury(ground, headers={f"Header-{number}": "x" for number in range(3_000)})
    (kept,) = await listed(ground)
    assert (kept.letter.data, kept.letter.headers, kept.letter.complete) == (JUNK, {}, False)
    assert "headers are too many" in kept.letter.reason


# Looking through them


async def test_the_newest_come_first_page_by_page(ground: Ground) -> None:
    buried = [await bury(ground, f"r{number}") for number in range(130)]
    desk, pages, before = office(ground), [], None
    first = await desk.newest(LetterFilter(), limit=1)
    await desk.discard(first[0])  # its settlement lies among the letters
    while page := await desk.newest(LetterFilter(states=("open", "discarded")), limit=40, before=before):
        pages.append([one.letter.seq for one in page])
        before = page[-1].number
    assert [len(page) for page in pages] == [40, 40, 40, 10]
    assert [seq for page in pages for seq in page] == [one.seq for one in reversed(buried)]


async def test_filters(ground: Ground) -> None:
    await bury(ground, "r1", tenant="acme")
    await bury(ground, "r2", tenant="bolt", kind="exhausted")
    await bury(ground, "r3", tenant="acme", kind="exhausted")
    newest, middle, oldest = await listed(ground)
    prefix = ground.subjects.prefix

    async def found(wanted: LetterFilter) -> list[KeptLetter]:
        return await listed(ground, wanted)

    assert await found(LetterFilter(tenant="acme")) == [newest, oldest]
    assert await found(LetterFilter(kind="exhausted")) == [newest, middle]
    assert await found(LetterFilter(kind="exhausted", tenant="acme")) == [newest]
    assert await found(LetterFilter(source="run.0.acme")) == [newest, oldest]
    assert await found(LetterFilter(source=f"{prefix}.run.0.bolt.r2.request.ann")) == [middle]
    assert await found(LetterFilter(source="task")) == []
    assert await found(LetterFilter(since=middle.at)) == [newest, middle]
    assert await found(LetterFilter(since=newest.at + timedelta(microseconds=1))) == []
    await office(ground).discard(middle)
    assert await found(LetterFilter()) == [newest, oldest]
    assert [one.number for one in await found(LetterFilter(states=("discarded",)))] == [middle.number]


async def test_one_letter_is_found_by_its_number(ground: Ground) -> None:
    await bury(ground)
    (kept,) = await listed(ground)
    desk = office(ground)
    assert await desk.find(kept.number) == kept
    assert await desk.find(kept.number + 1) is None
    await desk.discard(kept)
    assert await desk.find(kept.number + 1) is None, "a settlement is no letter"
    found = await desk.find(kept.number)
    assert found is not None
    assert found.standing.state == "discarded"


async def test_what_is_no_letter_is_listed_as_one_about_itself(ground: Ground) -> None:
    stream, stored = await store(ground, ground.subjects.request(ground.key(), "ann"))
    name = letter_id(stream, stored.seq, stored.at)
    await graves(ground).keep(stored, stream=stream, kind="undecodable", reason="r")
    (kept,) = await listed(ground)
    packed = await ground.wire.pack(wrap(kept.letter, ground.key()))
    strays = {
        f"{ground.subjects.prefix}.dead.stray": b"stray",
        # A letter on another's subject: only the subject is guarded by permissions.
        ground.subjects.dead(ground.subjects.request(ground.key("r2"), "ann"), name): packed,
    }
    for subject, data in strays.items():
        await ground.connection.jetstream.store(subject, data)
    found = [one.letter for one in await listed(ground) if one.number != kept.number]
    assert {one.origin: one.data for one in found} == strays
    assert {one.kind for one in found} == {"undecodable", "unverified"}
    assert all("is none" in one.reason for one in found)


async def test_the_unsettled_are_counted(ground: Ground) -> None:
    desk = office(ground)
    assert await desk.unsettled() == 0
    for number in range(5):
        await bury(ground, f"r{number}")
    for _ in range(3):
        await ground.connection.jetstream.store(f"{ground.subjects.prefix}.dead.stray", b"stray")
    await ground.connection.jetstream.store(ground.subjects.dead_settled("at-x"), b"junk")
    assert await desk.unsettled() == 8
    for kept in (await listed(ground))[2:6]:
        await desk.discard(kept)
    assert await desk.unsettled() == 4 == len(await listed(ground))


async def test_a_letter_is_discarded_once_and_stays_readable(ground: Ground) -> None:
    await bury(ground)
    (kept,) = await listed(ground)
    await office(ground).discard(kept)
    with pytest.raises(AlreadySettled, match="discarded already, by ann"):
        await office(ground, "bob").discard(kept)
    assert await listed(ground) == []
    found = await office(ground).find(kept.number)
    assert found is not None
    assert (found.letter, found.standing.by) == (kept.letter, "ann")
    assert isinstance(found.standing.at, datetime)


async def test_junk_settles_nothing(ground: Ground) -> None:
    await bury(ground)
    (kept,) = await listed(ground)
    place = ground.subjects.dead_settled(kept.id)
    another = Settlements(connection=ground.connection, subjects=ground.subjects, wire=ground.wire, principal="eve")
    await another.write("f00", "discarded", allowed=("open",))
    copied = await ground.connection.jetstream.last(ground.subjects.stream("DEAD"), ground.subjects.dead_settled("f00"))
    assert copied is not None
    for data in (b"junk", await ground.wire.pack(wrap(Note(), ground.key())), copied.data):
        await ground.connection.jetstream.store(place, data)
    assert [one.standing.state for one in await listed(ground)] == ["open"]
    await office(ground).discard(kept)
    assert await listed(ground) == []


async def test_without_streams_it_says_so(nats_url: str, prefix: str) -> None:
    async with open_ground(nats_url, prefix) as ground:
        await ground.connection.jetstream.api(f"STREAM.DELETE.{ground.subjects.stream('DEAD')}")
        for look in (office(ground).unsettled(), listed(ground), office(ground).find(1)):
            with pytest.raises(StreamMissing):
                await look
