"""The package with the embedder's model file."""

from pathlib import Path

def model_path() -> Path: ...
