"""Codec: envelopes to bytes and back, with every limit on. msgpack on the wire; JSON is accepted too."""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn, cast

import msgpack
from pydantic import ValidationError

from stretto.bus.envelope import ArtifactRef, Envelope, describe
from stretto.bus.errors import DecodeError, TooLarge

__all__ = ["CONTENT_TYPE", "JSON", "MAX_DEPTH", "MAX_MESSAGE_BYTES", "decode", "decode_body", "encode", "encode_body"]

CONTENT_TYPE = "Content-Type"
JSON = "application/json"
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 32
_MAX_STRING_BYTES = MAX_MESSAGE_BYTES
_MAX_ARRAY = 10_000
_MAX_MAP = 2_000
_CONTAINERS = (dict, list, tuple)


def encode(envelope: Envelope) -> bytes:
    """An envelope as msgpack.

    Raises:
        TooLarge: it passes a limit that its readers hold it to.
    """
    return _pack(vars(envelope))  # its fields as they are: the body is data already


def encode_body(body: Mapping[str, Any]) -> bytes:
    """A body alone, as it lies in the object store. Raises as `encode` does."""
    return _pack(body)


def decode(data: bytes, *, content_type: str | None = None, defaults: Mapping[str, str] | None = None) -> Envelope:
    """Read an envelope.

    JSON is told by its content type, or by the `{` that no msgpack envelope begins with. `defaults` fill in what a writer by hand may leave
    out because the subject says it: tenant, run, sender, id, sent_at.

    Raises:
        DecodeError: for whatever is wrong with the bytes; never another error.
    """
    fields = _mapping(data, json_expected=content_type == JSON or data[:1] == b"{")
    for name, value in (defaults or {}).items():
        fields.setdefault(name, value)
    try:
        return Envelope.model_validate(fields)
    except ValidationError as error:
        raise DecodeError(f"envelope: {describe(error)}") from error


def decode_body(data: bytes) -> dict[str, Any]:
    """Read a body that `encode_body` wrote.

    Raises:
        DecodeError: for whatever is wrong with the bytes.
    """
    return _mapping(data, json_expected=False)


def _mapping(data: bytes, *, json_expected: bool) -> dict[str, Any]:
    if len(data) > MAX_MESSAGE_BYTES:
        raise DecodeError(f"message of {len(data)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    try:
        value = _from_json(data) if json_expected else _from_msgpack(data)
    except DecodeError:
        raise
    except Exception as error:  # hostile bytes raise anything, from OverflowError to RecursionError: all mean the same
        form = "JSON" if json_expected else "msgpack"
        raise DecodeError(f"not readable as {form}: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise DecodeError("message is not a map")
    fields = cast("dict[str, Any]", value)
    excess = _excess(fields)
    if excess:
        raise DecodeError(excess)
    return fields


def _from_msgpack(data: bytes) -> Any:
    return msgpack.unpackb(
        data,
        raw=False,
        strict_map_key=True,
        timestamp=0,
        ext_hook=_refuse_extension,
        object_pairs_hook=_unique,
        max_str_len=_MAX_STRING_BYTES,
        max_bin_len=_MAX_STRING_BYTES,
        max_array_len=_MAX_ARRAY,
        max_map_len=_MAX_MAP,
        max_ext_len=0,
    )


def _from_json(data: bytes) -> Any:
    value = json.loads(
        data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
    )
    # What JSON can say and msgpack cannot (integers over 64 bits, halves of surrogate pairs) could be read but never passed on.
    msgpack.packb(value)
    return value


def _unique(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    items = list(pairs)
    found: dict[str, Any] = dict(items)
    if len(found) != len(items):
        raise DecodeError("a key stands twice in one map")
    return found


def _refuse_extension(code: int, data: bytes) -> NoReturn:
    raise DecodeError(f"msgpack extension {code} is not allowed")


def _refuse_constant(name: str) -> NoReturn:
    raise DecodeError(f"{name} is not allowed in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise DecodeError("a number in JSON is too large")
    return value


def _excess(fields: Mapping[str, Any]) -> str | None:
    """Which limit of depth or size the value passes, if any. Works without recursion, and for JSON as for msgpack."""
    level: list[Mapping[str, Any] | Sequence[Any]] = [fields]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return f"nested deeper than {MAX_DEPTH}"
        below: list[Any] = []
        for one in level:
            children: Collection[Any]
            if isinstance(one, dict):
                children = one.values()
                if len(children) > _MAX_MAP:
                    return f"a map has more than {_MAX_MAP} entries"
            else:
                children = one
                if len(children) > _MAX_ARRAY:
                    return f"a list has more than {_MAX_ARRAY} entries"
            below += [child for child in children if isinstance(child, _CONTAINERS)]
        level = below
    return None


def _pack(value: Mapping[str, Any]) -> bytes:
    excess = _excess(value)
    if excess:
        # Written all the same it would be a message that every reader refuses.
        raise TooLarge(f"message cannot be packed: {excess}")
    try:
        packed: bytes = msgpack.packb(value, use_bin_type=True, default=_plain)
    except (ValueError, OverflowError) as error:
        raise TooLarge(f"message cannot be packed: {error}") from error
    if len(packed) > MAX_MESSAGE_BYTES:
        raise TooLarge(f"message of {len(packed)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    return packed


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, ArtifactRef):
        return value.model_dump()
    if isinstance(value, int):
        raise OverflowError("an integer has more than 64 bits")
    raise TypeError(f"{type(value).__name__} does not travel in messages")
