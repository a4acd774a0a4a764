"""Readers: from a file's bytes to its elements, one file a format."""

from stretto.shared.memory.readers.document import READABLE, read_document

__all__ = ["READABLE", "read_document"]
