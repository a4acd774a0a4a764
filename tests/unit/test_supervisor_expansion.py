"""Expansion: looking only at what changed gives what looking at everything gives."""

from hypothesis import given
from hypothesis import strategies as st

from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.task import TaskResult
from stretto.supervisor.expansion import expand
from stretto.supervisor.shape import PlanShape
from stretto.supervisor.state import RunState
from stretto.supervisor.unfolding import Ground
from tests.unit.supervisor_world import Agents, World, dice, plans


def from_scratch(state: RunState) -> Ground:
    assert state.course is not None
    assert state.course.shape is not None
    assert state.request is not None
    return Ground(state.course.shape, state.course.since, state.request.request, state.records, state.course.retries)


@given(plans(), st.integers(0, 2**32), st.integers(0, 2**32))
def test_step_by_step_it_is_what_it_is_from_scratch(plan: Plan, seed: int, order: int) -> None:
    chance = dice(order)
    world = World.with_plan(plan)
    while True:
        assert world.state.expansion == expand(from_scratch(world.state))
        if world.step(Agents(seed), chance) is not None:
            break


def test_a_result_has_its_own_step_looked_at_and_those_that_can_start_now() -> None:
    first = tuple(PlannedTask(id=f"t{n}", role="worker") for n in range(500))
    last = PlannedTask(id="last", role="worker", inputs={"parts": tuple(task.id for task in first)})
    world = World.with_plan(Plan(playbook="wide", tasks=(*first, last), answer="last"))
    looked_at: list[int] = []
    for due in world.orders().due:
        before = world.state.expansion.steps
        world.record(TaskResult(task=due.task, attempt=1, role="worker", agent="a", output={}))
        looked_at.append(sum(one is not other for one, other in zip(before, world.state.expansion.steps, strict=True)))
    assert looked_at == [1] * 499 + [2]


@given(plans())
def test_a_step_stands_behind_all_that_it_takes_input_from(plan: Plan) -> None:
    shape = PlanShape.of(plan)
    assert set(shape.positions) == set(shape.tasks)
    for position, takers in enumerate(shape.takers):
        assert all(taker > position for taker in takers)
    for position, gates in enumerate(shape.gates):
        assert all(position in shape.takers[gate] for gate in gates)


def test_a_version_of_a_task_belongs_to_its_step() -> None:
    tasks = (PlannedTask(id="a", role="worker"), PlannedTask(id="a-r2", role="worker"))
    shape = PlanShape.of(Plan(playbook="p", tasks=tasks, answer="a"))
    positions = shape.positions
    assert shape.positions_of("a") == (positions["a"],)
    assert set(shape.positions_of("a-r2")) == {positions["a-r2"], positions["a"]}
    assert shape.positions_of("a-r3") == (positions["a"],)
    assert shape.positions_of("b-r2") == shape.positions_of("a-rx") == ()
