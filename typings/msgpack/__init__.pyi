from collections.abc import Callable, Iterable
from typing import Any

def packb(o: object, *, use_bin_type: bool = ..., default: Callable[[Any], object] | None = ...) -> bytes: ...
def unpackb(
    packed: bytes,
    *,
    raw: bool = ...,
    strict_map_key: bool = ...,
    timestamp: int = ...,
    ext_hook: Callable[[int, bytes], object] = ...,
    object_pairs_hook: Callable[[Iterable[tuple[Any, Any]]], object] | None = ...,
    max_str_len: int = ...,
    max_bin_len: int = ...,
    max_array_len: int = ...,
    max_map_len: int = ...,
    max_ext_len: int = ...,
) -> Any: ...
