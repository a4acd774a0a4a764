"""Subjects: what is built is parsed back, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.bus.subjects import RunKey, RunSubject, Subjects, TaskKey, check_token

tokens = st.from_regex(r"[a-z0-9_-]{1,64}", fullmatch=True)
run_keys = st.builds(RunKey, st.integers(0, 999_999_999), tokens, tokens)
bad_tokens = st.one_of(
    st.text(max_size=80).filter(lambda text: not set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")),
    st.just(""),
    st.from_regex(r"[a-z]{65,70}", fullmatch=True),
)


@given(prefix=tokens, key=run_keys, principal=tokens, name=tokens, role=tokens, attempt=st.integers(1, 999_999_999))
def test_every_subject_of_a_run_is_parsed_back(
    prefix: str, key: RunKey, principal: str, name: str, role: str, attempt: int
) -> None:
    subjects = Subjects(prefix)
    built = {
        subjects.request(key, principal): RunSubject(key, "request", (principal,)),
        subjects.decision(key): RunSubject(key, "decision", ()),
        subjects.result(TaskKey(key, role, name, attempt)): RunSubject(key, "result", (role, name, str(attempt))),
        subjects.command(key, principal, name): RunSubject(key, "command", (principal, name)),
        subjects.schedule(key, name): RunSubject(key, "schedule", (name,)),
        subjects.timer(key, name): RunSubject(key, "timer", (name,)),
        subjects.answer(key): RunSubject(key, "answer", ()),
    }
    for subject, meant in built.items():
        assert subject.startswith(f"{subjects.run(key)}.")
        assert subjects.parse_run(subject) == meant


@given(bad_tokens)
def test_a_bad_token_is_refused_everywhere(bad: str) -> None:
    subjects, key = Subjects(), RunKey(0, "a", "b")
    for build in (
        lambda: check_token(bad),
        lambda: Subjects(bad),
        lambda: RunKey(0, bad, "b"),
        lambda: RunKey(0, "a", bad),
        lambda: TaskKey(key, bad, "t", 1),
        lambda: TaskKey(key, "r", bad, 1),
        lambda: subjects.request(key, bad),
        lambda: subjects.command(key, bad, "c"),
        lambda: subjects.command(key, "p", bad),
        lambda: subjects.schedule(key, bad),
        lambda: subjects.timer(key, bad),
        lambda: subjects.tasks_of(bad),
        lambda: subjects.tasks_stream(bad),
        lambda: subjects.progress(key, bad),
        lambda: subjects.memory(bad, "get"),
        lambda: subjects.memory("a", bad),
        lambda: subjects.beat(bad, "i"),
        lambda: subjects.beat("r", bad),
    ):
        with pytest.raises(ValueError, match="is not allowed"):
            build()


@pytest.mark.parametrize("bad", ["", "A", "a.b", "a*", ">", "a b", "ä", "a\n", "٣", "x" * 65])
def test_these_are_no_tokens(bad: str) -> None:
    with pytest.raises(ValueError, match="use 1 to 64 of a-z, 0-9, _ and -"):
        check_token(bad)


def test_shards_count_from_zero() -> None:
    with pytest.raises(ValueError, match="shard -1"):
        RunKey(-1, "a", "b")


junk = st.one_of(
    st.text(max_size=200),
    st.lists(st.text(max_size=8) | st.sampled_from(["request", "result", "0", "-1", "*", ">", ""]), max_size=9).map(
        lambda parts: "stretto.run." + ".".join(parts)
    ),
)


@given(junk)
def test_junk_is_a_value_error_or_else_one_of_ours(subject: str) -> None:
    subjects = Subjects()
    try:
        parsed = subjects.parse_run(subject)
    except ValueError:
        return
    tail = "".join(f".{token}" for token in parsed.tail)
    assert f"{subjects.run(parsed.key)}.{parsed.kind}{tail}" == subject, "two subjects must never parse to the same"


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "stretto",
        "stretto.run",
        "stretto.run.",
        "other.run.0.a.b.answer",
        "stretto.run.0.a.b",
        "stretto.run.x.a.b.answer",
        "stretto.run.٣.a.b.answer",
        "stretto.run.00.a.b.answer",
        "stretto.run.-1.a.b.answer",
        f"stretto.run.{'9' * 5_000}.a.b.answer",
        "stretto.run.0.A.b.answer",
        "stretto.run.0.a..answer",
        "stretto.run.0.a.b.answer.more",
        "stretto.run.0.a.b.unknown",
        "stretto.run.0.a.b.request",
        "stretto.run.0.a.b.request.Ann",
        "stretto.run.0.a.b.result.writer.draft.x",
        "stretto.run.0.a.b.result.writer.draft.01",
        "stretto.run.0.a.b.result.writer.draft",
    ],
)
def test_these_are_no_subjects_of_a_run(subject: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Subjects().parse_run(subject)


@given(st.text(min_size=1, max_size=5_000))
def test_any_source_has_a_dead_letter_subject_that_can_be_published_on(source: str) -> None:
    dead = Subjects().dead(source, "f00")
    assert dead.startswith("stretto.dead.")
    assert len(dead) < 1_000
    assert all(token and set(token).isdisjoint("*> \t\r\n") and token.isascii() for token in dead.split("."))


def test_the_dead_letter_of_a_proper_subject_keeps_its_tokens() -> None:
    subjects = Subjects()
    assert subjects.dead("stretto.task.writer.a.b.draft.1", "f00") == "stretto.dead.task.writer.a.b.draft.1.f00"
    assert subjects.dead("$JS.EVENT.x", "f00") == "stretto.dead._JS.EVENT.x.f00"
    assert subjects.any_dead() == "stretto.dead.>"
    assert subjects.any_dead("task.writer") == "stretto.dead.task.writer.>"


@given(run=tokens, shards=st.integers(1, 64))
def test_a_runs_shard_depends_on_its_id_alone(run: str, shards: int) -> None:
    key = RunKey.of("a", run, shards)
    assert 0 <= key.shard < shards
    assert RunKey.of("b", run, shards).shard == key.shard


def test_the_shard_of_a_run_never_changes_from_one_version_to_another() -> None:
    assert [RunKey.of("a", run, 4).shard for run in ("r1", "r2", "r3", "r4", "r5")] == [2, 1, 2, 2, 2]
