"""The codec: what is written is read, and hostile bytes are a DecodeError and nothing else."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.bus.codec import JSON, MAX_DEPTH, decode, decode_body, encode, encode_body
from stretto.bus.dead_letters import DeadLetter
from stretto.bus.envelope import ArtifactRef, Envelope, open_envelope
from stretto.bus.errors import BusError, DecodeError, TooLarge
from stretto.bus.message import Message

tokens = st.from_regex(r"[a-z0-9_-]{1,64}", fullmatch=True)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
)


def bodies_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), inner, max_size=5)


values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | bodies_of(inner), max_leaves=20)


bodies = bodies_of(values)
times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (given one)
envelopes = st.builds(
    Envelope,
    type=st.from_regex(r"[a-z][a-z0-9_.]{0,63}", fullmatch=True),
    version=st.from_regex(r"[0-9]{1,4}\.[0-9]{1,4}", fullmatch=True),
    id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128),
    tenant=tokens,
    run=tokens,
    sender=tokens,
    cause=st.none() | st.just("cause"),
    sent_at=times,
    deadline=st.none() | times,
    body=bodies,
    artifact=st.none() | st.just(ArtifactRef(sha256="a" * 64, size_bytes=7)),
)


class Thing(Message):
    TYPE: ClassVar[str] = "thing"
    VERSION: ClassVar[str] = "1.2"
    name: str
    size: int = 0


def fields(**changes: Any) -> dict[str, Any]:
    """An envelope as data, as a writer of version 1.0 would put it."""
    return {
        "type": "thing",
        "version": "1.0",
        "id": "m1",
        "tenant": "acme",
        "run": "r1",
        "sender": "ann",
        "sent_at": "2026-01-02T03:04:05+00:00",
        "body": {"name": "n"},
        **changes,
    }


def packed(**changes: Any) -> bytes:
    data: bytes = msgpack.packb(fields(**changes))
    return data


def as_json(**changes: Any) -> bytes:
    return json.dumps(fields(**changes)).encode()


def nested(depth: int) -> Any:
    """A value with this many lists in one another."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def extended(value: bytes) -> bytes:
    """An envelope with these bytes as a value in its body."""
    return packed(body={"x": 0})[:-1] + value


# Round trips


@given(envelopes)
def test_what_is_encoded_is_decoded(envelope: Envelope) -> None:
    assert decode(encode(envelope)) == envelope


@given(bodies)
def test_a_body_alone_is_decoded_too(body: dict[str, Any]) -> None:
    assert decode_body(encode_body(body)) == body


@given(envelopes)
def test_json_says_the_same_as_msgpack(envelope: Envelope) -> None:
    data = envelope.model_dump_json().encode()
    assert decode(data) == decode(data, content_type=JSON) == envelope


def test_json_is_taken_by_its_content_type_also_behind_blanks() -> None:
    assert decode(b"\n  " + as_json(), content_type=JSON).id == "m1"
    with pytest.raises(DecodeError):
        decode(b"\n  " + as_json())


def test_bytes_travel() -> None:
    letter = DeadLetter(origin="a", seq=1, deliveries=1, reason="r", data=b"\x00\xff", headers={})
    envelope = Envelope.of(letter, tenant="a", run="r", sender="s")
    assert open_envelope(decode(encode(envelope)), DeadLetter) == letter


def test_defaults_stand_in_for_what_a_writer_by_hand_left_out_and_for_nothing_else() -> None:
    defaults = {"id": "seq-0-7", "tenant": "acme", "run": "r1", "sender": "ann", "sent_at": "2026-01-01T00:00:00Z"}
    envelope = decode(b'{"type": "thing", "sender": "bob", "body": {"name": "n"}}', defaults=defaults)
    assert (envelope.id, envelope.tenant, envelope.run, envelope.sender) == ("seq-0-7", "acme", "r1", "bob")
    assert envelope.version == "1.0"
    with pytest.raises(DecodeError, match="tenant: Field required"):
        decode(b'{"type": "thing", "body": {"name": "n"}}')


# Versions

GOLDEN_1_0 = bytes.fromhex(
    "8ba474797065a57468696e67a776657273696f6ea3312e30a26964a26d31a674656e616e74a461636d65a372756ea27231a6"
    "73656e646572a3616e6ea56361757365c0a773656e745f6174b9323032362d30312d30325430333a30343a30352b30303a30"
    "30a8646561646c696e65c0a4626f647982a46e616d65a16ea473697a6507a86172746966616374c0"
)
"""An envelope as version 1.0 wrote it. It stays here as it is for as long as 1.x is read."""


def test_the_golden_bytes_of_version_1_0_are_read() -> None:
    envelope = decode(GOLDEN_1_0)
    assert open_envelope(envelope, Thing) == Thing(name="n", size=7)
    assert (envelope.id, envelope.tenant, envelope.run, envelope.sender) == ("m1", "acme", "r1", "ann")
    assert envelope.sent_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_todays_bytes_are_the_golden_ones() -> None:
    assert encode(decode(GOLDEN_1_0)) == GOLDEN_1_0


def test_an_old_reader_takes_a_new_writers_message_without_what_it_does_not_know() -> None:
    data = packed(version="1.9", priority="high", body={"name": "n", "colour": {"deep": [1, 2]}})
    assert open_envelope(decode(data), Thing) == Thing(name="n")


def test_a_new_reader_takes_an_old_writers_message() -> None:
    assert open_envelope(decode(packed(body={"name": "n"})), Thing).size == 0


@pytest.mark.parametrize("version", ["0.9", "2.0", "11.0"])
def test_another_major_version_is_refused_and_named(version: str) -> None:
    with pytest.raises(DecodeError, match=f"version {version}; this program reads 1.x"):
        open_envelope(decode(packed(version=version)), Thing)


def test_another_type_is_refused_and_named() -> None:
    with pytest.raises(DecodeError, match="'other' where 'thing' belongs"):
        open_envelope(decode(packed(type="other")), Thing)


def test_what_does_not_validate_is_told_by_its_place_and_never_by_its_content() -> None:
    with pytest.raises(DecodeError) as refused:
        open_envelope(decode(packed(body={"name": ["secret"], "size": "secret"})), Thing)
    assert "name" in str(refused.value)
    assert "size" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_the_keys_of_a_free_map_are_content_too() -> None:
    letter = {"origin": "a", "seq": 1, "deliveries": 1, "reason": "r", "data": b"", "headers": {"se cret\n" * 99: 1}}
    with pytest.raises(DecodeError) as refused:
        open_envelope(decode(packed(type="dead_letter", body=letter)), DeadLetter)
    assert "headers" in str(refused.value)
    assert "cret" not in str(refused.value)
    assert len(str(refused.value)) < 200


# Hostile bytes


@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    for content_type in (None, JSON):
        with pytest.raises(DecodeError):
            decode(data, content_type=content_type)


@given(st.data())
def test_mutated_messages_are_messages_or_decode_errors(data: st.DataObject) -> None:
    whole = bytearray(
        data.draw(st.sampled_from([GOLDEN_1_0, as_json(body={"a": [1, {"b": "c"}]}), packed(body={"x": 1.5})]))
    )
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not whole:
            break
    try:
        envelope = decode(bytes(whole))
        open_envelope(envelope, Thing)
    except DecodeError:
        return
    assert encode(decode(encode(envelope))) == encode(envelope), "what was read can be passed on"


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "no map": msgpack.packb([1, 2]),
    "a number": b"\x07",
    "cut off": GOLDEN_1_0[:-1],
    "something behind it": GOLDEN_1_0 + b"\x00",
    "a key twice": b"\x82\xa1a\x01\xa1a\x02",
    "a key twice deep down": extended(b"\x82\xa1a\x01\xa1a\x02"),
    "a key that is a number": b"\x81\x01\x02",
    "an extension": extended(b"\xc7\x00\x05"),
    "an extension with bytes": extended(b"\xc7\x03\x05abc"),
    "a timestamp of nothing": extended(b"\xc7\x00\xff"),
    "a timestamp of 32 bits": extended(b"\xd6\xff\x00\x00\x00\x01"),
    "a timestamp of 64 bits": extended(b"\xd7\xff" + b"\x00" * 8),
    "a timestamp of 96 bits": extended(b"\xc7\x0c\xff" + b"\x00" * 12),
    "a timestamp past all time": extended(b"\xc7\x0c\xff\x00\x00\x00\x05" + b"\x7f" * 8),
    "text that is no UTF-8": b"\x81\xa1a\xa2\xff\xfe",
    "a text of four gigabytes": b"\x81\xa1a\xdb\xff\xff\xff\xff",
    "bytes of four gigabytes": b"\x81\xa1a\xc6\xff\xff\xff\xff",
    "a list of four billion": b"\x81\xa1a\xdd\xff\xff\xff\xff",
    "a map of four billion": b"\xdf\xff\xff\xff\xff",
    "a list of too many": packed(body={"x": [0] * 10_001}),
    "a map of too many": packed(body={str(number): 0 for number in range(2_001)}),
    "too deep": packed(body={"x": nested(MAX_DEPTH - 1)}),
    "very deep": b"\x81\xa1a" + b"\x91" * 100_000 + b"\x01",
    "an unused byte": b"\x81\xa1a\xc1",
    "no type": packed(type=None),
    "a bad tenant": packed(tenant="a.b"),
    "a tenant with a line feed": packed(tenant="acme\n"),
    "a bad version": packed(version="1"),
    "a time without a zone": packed(sent_at="2026-01-02T03:04:05"),
    "a time that is none": packed(sent_at=1e300),
    "a body that is none": packed(body=[1]),
    "an artifact that is none": packed(artifact={"sha256": "../../etc/passwd", "size_bytes": 1}),
    "an artifact of less than nothing": packed(artifact={"sha256": "a" * 64, "size_bytes": -1}),
    "JSON cut off": as_json()[:-1],
    "JSON that is no map": b"[1]",
    "JSON with NaN": as_json(body={"x": float("nan")}),
    "JSON with infinity": as_json(body={"x": float("inf")}),
    "JSON with a number past all numbers": as_json(body={"x": 7}).replace(b" 7", b" 1e999"),
    "JSON with an integer of 65 bits": as_json(body={"x": 2**64}),
    "JSON with an integer of five thousand digits": as_json(body={"x": 7}).replace(b" 7", b" " + b"7" * 5_000),
    "JSON with half a pair": as_json(body={"x": "\ud800"}),
    "JSON with half a pair as a key": as_json(body={"\udfff": 1}),
    "JSON with a key twice": b'{"a": 1, "a": 2}',
    "JSON that is no UTF-8": b'{"a": "\xff"}',
    "JSON too deep": as_json(body={"x": nested(MAX_DEPTH - 1)}),
    "JSON very deep": b'{"a":' + b"[" * 100_000,
    "JSON with too many in a list": as_json(body={"x": [0] * 10_001}),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes_are_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data, content_type=JSON if data[:1] == b"[" else None)


def test_a_number_that_is_none_gets_into_no_field() -> None:
    class Measure(Message):
        TYPE: ClassVar[str] = "thing"
        value: float

    for none in (float("nan"), float("inf")):
        with pytest.raises(DecodeError, match="finite"):
            open_envelope(decode(packed(body={"value": none})), Measure)


def test_what_is_just_within_the_limits_is_read() -> None:
    body = {"deep": nested(MAX_DEPTH - 2), "list": [0] * 10_000, "map": {str(number): 0 for number in range(2_000)}}
    assert decode(packed(body=body)).body == decode(as_json(body=body)).body == body


# What is never written


@pytest.mark.parametrize(
    "body",
    [
        {"x": "\ud800"},
        {"x": 2**64},
        {"x": -(2**63) - 1},
        {"x": [0] * 10_001},
        {"x": (0,) * 10_001},
        {str(number): 0 for number in range(2_001)},
        {"x": nested(MAX_DEPTH + 1)},
        {"x": nested(2_000)},
    ],
    ids=["surrogate", "integer", "negative", "list", "tuple", "map", "deep", "very-deep"],
)
def test_what_no_reader_would_take_is_not_written(body: dict[str, Any]) -> None:
    with pytest.raises(TooLarge):
        encode_body(body)
    envelope = Envelope(**fields(body={"x": 1})).model_copy(update={"body": body})
    with pytest.raises(TooLarge):
        encode(envelope)


def test_what_is_no_data_is_the_callers_mistake() -> None:
    with pytest.raises(TypeError, match="set does not travel"):
        encode_body({"x": {1}})


def test_a_decode_error_is_an_error_of_the_bus_that_no_retry_helps() -> None:
    with pytest.raises(BusError, match="not readable as msgpack: UnicodeDecodeError"):
        decode(b"\x81\xa1a\xa2\xff\xfe")


def test_times_keep_their_instant() -> None:
    late = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=1)
    envelope = Envelope(**fields(deadline=late))
    assert decode(encode(envelope)).deadline == late
