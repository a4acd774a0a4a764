"""Which playbook a request gets, and why."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from stretto.shared.contracts.request import Request
from stretto.shared.memory.errors import MemoryUnavailable
from stretto.supervisor.errors import UnknownPlaybook
from stretto.supervisor.playbook_file import Playbook
from stretto.supervisor.playbooks import Playbooks
from stretto.supervisor.router import Router

BRIEF = Playbook("brief", "questions", Path("brief.yaml"), (), "")
DIGEST = Playbook("digest", "overviews", Path("digest.yaml"), (), "")


class Plane:
    """Embeds texts by a table; counts what it was asked."""

    def __init__(self, **places: tuple[float, float]) -> None:
        self.places = {"questions": (1.0, 0.0), "overviews": (0.0, 1.0), **places}
        self.asked: list[list[str]] = []

    async def __call__(self, texts: Sequence[str]) -> list[tuple[float, float]]:
        self.asked.append(list(texts))
        return [self.places[text] for text in texts]


def router(plane: Plane | None) -> Router:
    return Router(playbooks=Playbooks([BRIEF, DIGEST]), embed=plane)


async def test_a_named_playbook_is_taken_without_asking_anybody() -> None:
    plane = Plane()
    route = await router(plane).route(Request(text="q", playbook="digest"))
    assert (route.playbook, route.reason, plane.asked) == (DIGEST, "named in the request", [])


async def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(UnknownPlaybook, match="use one of brief, digest"):
        await router(Plane()).route(Request(text="q", playbook="novel"))


@pytest.mark.parametrize(
    ("place", "expected", "reason"),
    [
        ((0.1, 1.0), DIGEST, "nearest to the request (1.00)"),
        ((1.0, 0.1), BRIEF, "nearest to the request (1.00)"),
        ((0.7, 0.75), BRIEF, "the default: digest is hardly nearer to the request (0.73)"),
        ((-1.0, 0.2), BRIEF, "the default: no description is near to the request (digest 0.20)"),
        ((0.0, 0.0), BRIEF, "nearest to the request (0.00)"),
    ],
)
async def test_the_nearest_description_decides(place: tuple[float, float], expected: Playbook, reason: str) -> None:
    route = await router(Plane(q=place)).route(Request(text="q"))
    assert (route.playbook, route.reason) == (expected, reason)


async def test_descriptions_are_embedded_once() -> None:
    plane = Plane(q=(0.0, 1.0))
    one = router(plane)
    await one.route(Request(text="q"))
    await one.route(Request(text="q"))
    assert plane.asked == [["q", "questions", "overviews"], ["q"]]


async def test_when_nothing_can_be_compared_the_default_is_taken_and_says_so() -> None:
    async def down(_: Sequence[str]) -> list[list[float]]:
        raise MemoryUnavailable("the memory service does not answer")

    route = await Router(playbooks=Playbooks([BRIEF, DIGEST]), embed=down).route(Request(text="q"))
    assert route.playbook == BRIEF
    assert "the memory service does not answer" in route.reason


async def test_without_an_embedder_the_default_is_taken() -> None:
    assert (await router(None).route(Request(text="q"))).playbook == BRIEF
