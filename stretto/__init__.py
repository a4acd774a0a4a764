"""Stretto: AI agents as separate services on a NATS message bus."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("stretto")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"
