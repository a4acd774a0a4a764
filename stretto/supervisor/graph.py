"""Graph: order and reach in a directed graph, given for each node by the nodes that come before it."""

from collections.abc import Collection, Iterable, Mapping

__all__ = ["CycleFound", "in_order", "reach"]


class CycleFound(Exception):
    """The graph has a cycle.

    Attributes:
        path: its nodes, each coming before the next; the first is repeated at the end.
    """

    def __init__(self, path: tuple[str, ...]) -> None:
        super().__init__(" -> ".join(path))
        self.path = path


def in_order(nodes: Iterable[str], before: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """`nodes`, each after all that come before it and otherwise as given. Linear in nodes and edges.

    Raises:
        CycleFound: there is no such order.
    """
    ordered: dict[str, None] = {}
    for start in nodes:
        path: dict[str, None] = {}
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            node, left = stack.pop()
            if left:
                del path[node]
                ordered[node] = None
            elif node in path:
                trail = list(path)
                raise CycleFound((node, *reversed(trail[trail.index(node) :])))
            elif node not in ordered:
                path[node] = None
                stack.append((node, True))
                stack.extend((earlier, False) for earlier in reversed(tuple(before.get(node, ()))))
    return tuple(ordered)


def reach(start: str, edges: Mapping[str, Collection[str]]) -> set[str]:
    """All nodes that can be reached from `start` along `edges`, `start` among them."""
    reached = {start}
    ahead = [start]
    while ahead:
        for node in edges.get(ahead.pop(), ()):
            if node not in reached:
                reached.add(node)
                ahead.append(node)
    return reached
