"""Playbooks: all playbooks that this deployment has, by name."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from stretto.supervisor.errors import PlaybookError, UnknownPlaybook
from stretto.supervisor.playbook_file import Playbook, read_playbook

__all__ = ["DEFAULT_PLAYBOOK", "Playbooks"]

DEFAULT_PLAYBOOK: Final = "brief"

_BUILT_IN: Final = Path(__file__).parent / "playbooks"


class Playbooks:
    """Playbooks by name, the default one among them."""

    def __init__(self, playbooks: Iterable[Playbook]) -> None:
        self._by_name = {playbook.name: playbook for playbook in playbooks}

    @classmethod
    def load(cls, folders: Iterable[Path] = ()) -> "Playbooks":
        """Read the built-in playbooks and all `*.yaml` and `*.yml` files of these folders.

        Of two with one name the one of the later folder counts, so that a deployment can replace a built-in one.

        Raises:
            PlaybookError: a file is wrong, a folder is not there, or two files of one folder have one name.
        """
        found: dict[str, Playbook] = {}
        for folder in (_BUILT_IN, *folders):
            found |= _read_folder(folder)
        return cls(found.values())

    def __iter__(self) -> Iterator[Playbook]:
        return iter(self._by_name.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._by_name))

    @property
    def default(self) -> Playbook:
        return self.get(DEFAULT_PLAYBOOK)

    def get(self, name: str) -> Playbook:
        """Raises UnknownPlaybook when there is none of that name."""
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownPlaybook(name, self.names) from None


def _read_folder(folder: Path) -> dict[str, Playbook]:
    if not folder.is_dir():
        raise PlaybookError(folder, 1, "there is no such folder of playbooks")
    found: dict[str, Playbook] = {}
    for file in sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"}):
        playbook = read_playbook(file)
        if playbook.name in found:
            raise PlaybookError(file, 1, f"{found[playbook.name].file.name} has the name {playbook.name!r} too")
        found[playbook.name] = playbook
    return found
