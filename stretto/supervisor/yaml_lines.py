"""YAML that remembers its lines, so that a problem in the data can be shown where it stands in the file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["LinedYaml", "YamlUnreadable", "read_yaml"]


class YamlUnreadable(Exception):
    """Text that is no YAML, or has a key twice.

    Attributes:
        line: where, from 1.
        problem: what is wrong.
    """

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem


@dataclass(frozen=True, slots=True)
class LinedYaml:
    """Parsed YAML.

    Attributes:
        data: plain Python values.
    """

    data: object
    root: yaml.Node | None

    def line_of(self, path: Sequence[str | int]) -> int:
        """The line, from 1, of what `path` leads to; of the last thing on the way where it leads nowhere."""
        node, line = self.root, 1
        for step in path:
            found = _step(node, step)
            if found is None:
                break
            line, node = found
        return line


def read_yaml(text: str) -> LinedYaml:
    """Parse one YAML document with the safe loader.

    Raises:
        YamlUnreadable: it is not one, or a mapping has a key twice.
    """
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        for line, key in _doubled(root):
            raise YamlUnreadable(line, f"the key {key!r} stands here for the second time")
        return LinedYaml(loader.construct_document(root) if root else None, root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlUnreadable(mark.line + 1 if mark else 1, f"no YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise YamlUnreadable(1, f"no YAML: {error}") from error
    except RecursionError as error:
        raise YamlUnreadable(1, "no YAML that is meant for people: it is nested too deeply") from error
    finally:
        loader.dispose()


def _step(node: yaml.Node | None, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item: yaml.Node = node.value[step]
        return item.start_mark.line + 1, item
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key.start_mark.line + 1, value
    return None


def _doubled(node: Any, seen: set[int] | None = None) -> Iterator[tuple[int, str]]:
    seen = set() if seen is None else seen
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _doubled(item, seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    yield key.start_mark.line + 1, key.value
                keys.add(key.value)
            yield from _doubled(value, seen)
