"""The store: a real ChromaDB that loses nothing, mixes nothing, and says why it cannot be used."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import chromadb
import numpy as np
import pytest
from chromadb.config import Settings
from numpy.typing import NDArray

from stretto.shared.contracts.memory import Record
from stretto.shared.memory.chroma import collection_name
from stretto.shared.memory.errors import StoreUnusable
from stretto.shared.memory.store import VectorStore
from tests.integration.memory_world import WordEmbedder, record

_EMBEDDER = WordEmbedder()


def _open(directory: Path, embedder: WordEmbedder = _EMBEDDER) -> VectorStore:
    return VectorStore(directory, embedder=embedder.name, dimensions=embedder.dimensions)


def _add(store: VectorStore, tenant: str, *records: Record, embedder: WordEmbedder = _EMBEDDER) -> None:
    store.add(tenant, records, embedder.embed([one.text for one in records]))


def _vector(text: str) -> NDArray[np.float32]:
    vector: NDArray[np.float32] = _EMBEDDER.embed([text])[0]
    return vector


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VectorStore]:
    with _open(tmp_path / "memory") as opened:
        yield opened


def test_every_field_comes_back_after_the_store_was_closed_and_opened_again(tmp_path: Path) -> None:
    records = [record("a", "tea"), record("b", "Übung 🍵 \n\ttwo lines", source="docs/'b' \"$in\".md", ordinal=7)]
    with _open(tmp_path / "memory") as store:
        _add(store, "acme", *records)
    with _open(tmp_path / "memory") as store:
        assert store.get("acme", ["b", "nope", "a", "b"]) == (records[1], records[0])
        assert store.rank("acme", "tea", roots=[], limit=5) == ["a"]
        assert store.nearest("acme", _vector("tea"), roots=[], limit=1)[0][0] == "a"


def test_a_record_added_again_is_replaced_whole_and_one_id_twice_in_a_batch_is_the_last(store: VectorStore) -> None:
    _add(store, "acme", record("a", "tea"))
    _add(store, "acme", record("a", "coffee"), record("b", "x"), record("a", "cocoa", root="/other"))
    assert [one.text for one in store.get("acme", ["a"])] == ["cocoa"]
    assert store.count("acme") == 2
    assert store.count("acme", roots=["/other"]) == 1
    assert store.rank("acme", "tea coffee", roots=[], limit=5) == []


def test_more_records_than_chroma_takes_at_once_are_added_read_and_forgotten(tmp_path: Path) -> None:
    embedder = WordEmbedder(dimensions=4)
    records = [record(f"{number:05}", f"n{number}", root=f"/r{number % 2}", ordinal=number) for number in range(6000)]
    with _open(tmp_path / "memory", embedder) as store:
        _add(store, "acme", *records, embedder=embedder)
    with _open(tmp_path / "memory", embedder) as store:
        assert store.count("acme") == 6000
        assert store.get("acme", [one.id for one in records]) == tuple(records)
        assert store.forget("acme", root="/r0") == 3000
        assert store.stats("acme").roots == ("/r1",)
        assert len(store.nearest("acme", embedder.embed(["n1"])[0], roots=[], limit=40)) == 40


def test_each_of_very_many_records_that_are_much_alike_is_found_by_its_own_vector(store: VectorStore) -> None:
    texts = {
        f"{group}-{number}": f"group{group} unique{group}x{number}" for group in range(25) for number in range(100)
    }
    for group in range(25):
        _add(store, "acme", *(record(f"{group}-{number}", texts[f"{group}-{number}"]) for number in range(100)))
    for id_ in list(texts)[::7]:
        assert store.nearest("acme", _vector(texts[id_]), roots=[], limit=40)[0][1] == pytest.approx(1.0, abs=1e-5)
        assert store.similarities("acme", _vector(texts[id_]), [id_, "nope"]) == {id_: pytest.approx(1.0, abs=1e-5)}


def test_no_tenant_sees_anothers_records(store: VectorStore) -> None:
    tenants = ["a", "a-", "-", "_", "ab", "a" * 64]
    for tenant in tenants:
        _add(store, tenant, record(f"of-{tenant}", "tea"))
    for tenant in tenants:
        mine = [f"of-{tenant}"]
        assert [id_ for id_, _ in store.nearest(tenant, _vector("tea"), roots=[], limit=9)] == mine
        assert store.rank(tenant, "tea", roots=[], limit=9) == mine
        assert store.get(tenant, [f"of-{other}" for other in tenants]) == (record(mine[0], "tea"),)
    assert store.forget_everything("a") == 1
    assert [store.count(tenant) for tenant in tenants] == [0, 1, 1, 1, 1, 1]


def test_a_tenant_that_is_no_token_is_refused() -> None:
    with pytest.raises(ValueError, match="tenant"):
        collection_name("a.b")


def test_a_scope_limits_what_is_found(store: VectorStore) -> None:
    _add(
        store, "acme", *(record(f"{root}{number}", "tea", root=root) for root in ("x", "y", "z") for number in range(3))
    )
    near = store.nearest("acme", _vector("tea"), roots=["x", "z"], limit=40)
    assert {id_ for id_, _ in near} == {"x0", "x1", "x2", "z0", "z1", "z2"}
    assert store.nearest("acme", _vector("tea"), roots=["nowhere"], limit=40) == []


def test_forget_takes_a_root_or_sources_and_keeps_the_version_that_is_named(store: VectorStore) -> None:
    _add(
        store,
        "acme",
        record("old", "tea", source="s", hash_="1"),
        record("new", "tea", source="s", hash_="2"),
        record("other", "tea", source="t"),
        record("far", "tea", source="s", root="/far"),
    )
    assert store.forget("acme", root="/docs", sources=["s"], keep_hash="2") == 1
    assert store.forget("acme", root="/docs", sources=["s"], keep_hash="2") == 0
    assert store.forget("acme", sources=["s"]) == 2
    assert [one.id for one in store.get("acme", ["old", "new", "other", "far"])] == ["other"]
    assert store.forget("acme", root="/docs") == 1
    assert store.count("acme") == 0


def test_vectors_of_two_embedders_never_meet_but_are_forgotten_together(tmp_path: Path) -> None:
    other = WordEmbedder(name="others", dimensions=8)
    with _open(tmp_path / "memory") as store:
        _add(store, "acme", record("a", "tea"), record("b", "tea", root="/kept"))
    with _open(tmp_path / "memory", other) as store:
        assert store.count("acme") == 0
        _add(store, "acme", record("a", "tea"), embedder=other)
        assert store.forget("acme", root="/docs") == 2
    with _open(tmp_path / "memory") as store:
        assert store.count("acme") == 1
        assert store.forget_everything("acme") == 1


def test_a_stored_embedding_function_is_refused_and_never_built(tmp_path: Path) -> None:
    name = collection_name("acme", embedder=_EMBEDDER.name, dimensions=_EMBEDDER.dimensions)
    client = chromadb.PersistentClient(tmp_path / "memory" / "chroma", Settings(anonymized_telemetry=False))
    client.create_collection(name)  # with Chroma's default embedding function
    client.clear_system_cache()
    with _open(tmp_path / "memory") as store, pytest.raises(StoreUnusable, match="embedding function"):
        store.count("acme")


def test_a_second_owner_is_told_so_and_may_open_it_later(tmp_path: Path) -> None:
    first, second = _open(tmp_path / "memory"), _open(tmp_path / "memory")
    first.open()
    with pytest.raises(StoreUnusable, match="another process"):
        second.open()
    first.close()
    first.close()
    with second:
        assert second.count("acme") == 0
    with pytest.raises(StoreUnusable, match="closed"):
        second.count("acme")


_CHILD = """
import resource, signal, sys
from pathlib import Path
from stretto.shared.memory.errors import StoreUnusable
from stretto.shared.memory.store import VectorStore
from tests.integration.memory_world import WordEmbedder, record

embedder = WordEmbedder()
store = VectorStore(Path(sys.argv[1]), embedder=embedder.name, dimensions=embedder.dimensions)
store.open()
store.add("acme", [record("a", "tea")], embedder.embed(["tea"]))
print("open", flush=True)
sys.stdin.readline()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
texts = [f"{number} " * 200 for number in range(2_000)]
try:
    store.add("acme", [record(f"n{number}", text) for number, text in enumerate(texts)], embedder.embed(texts))
    print("no error")
except StoreUnusable as error:
    print(f"refused: {error}")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
print([one.id for one in store.get("acme", ["a"])])
store.add("acme", [record("b", "coffee")], embedder.embed(["coffee"]))
print(store.rank("acme", "coffee", roots=[], limit=5))
"""


def _child(directory: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _CHILD, str(directory)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_the_lock_of_a_killed_owner_is_gone_and_what_it_stored_is_there(tmp_path: Path) -> None:
    with _child(tmp_path / "memory") as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "open\n"
        with pytest.raises(StoreUnusable, match="another process"):
            _open(tmp_path / "memory").open()
        owner.kill()
    with _open(tmp_path / "memory") as store:
        assert [one.id for one in store.get("acme", ["a"])] == ["a"]


def test_a_full_disk_is_a_clear_error_and_work_goes_on_afterwards(tmp_path: Path) -> None:
    with _child(tmp_path / "memory") as owner:
        try:
            output, _ = owner.communicate("go on\n", timeout=60)
        finally:
            owner.kill()  # where it hangs, nothing else ends it
    lines = output.splitlines()[1:]
    assert lines[0].startswith("refused: the vector store in")
    assert "disk" in lines[0]
    assert lines[1:] == ["['a']", "['b']"]


def test_a_directory_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreUnusable, match="cannot be used"):
            _open(directory).open()


def test_damaged_files_are_a_clear_error_and_leave_no_lock(tmp_path: Path) -> None:
    database = tmp_path / "memory" / "chroma" / "chroma.sqlite3"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"no database" * 1000)
    for _ in range(2):
        with pytest.raises(StoreUnusable, match="not a database"):
            _open(tmp_path / "memory").open()
