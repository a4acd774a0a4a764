"""read_file: what lies under the root, and nothing else."""

import contextlib
import os
import stat
from pathlib import Path

import psutil
import pytest

from stretto.shared.tools.built_in.read_file import ReadFile
from stretto.shared.tools.errors import ToolForbidden, ToolUnavailable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("plain\n")
    (root / "sub" / "deep" / "b.md").write_text("# Head\ntag\U000e0041 zero\u200bwidth\n")
    (root / "big.txt").write_bytes(b"x" * 2_000)
    (root / "edge.txt").write_bytes(b"x" * 1_000)
    (root / "binary.txt").write_bytes(bytes(range(256)) * 2)
    (root / "broken.pdf").write_bytes(b"no pdf")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "root-beside").mkdir()
    (tmp_path / "root-beside" / "secret.txt").write_text("secret")
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "inside.txt").symlink_to(root / "a.txt")
    (root / "folder").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    os.mknod(root / "socket", stat.S_IFSOCK | 0o600)
    return root


def reader(root: Path) -> ReadFile:
    return ReadFile(root=root, max_file_bytes=1_000)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.txt", "plain\n"),
        ("./a.txt", "plain\n"),
        ("sub//deep/b.md", "# Head\ntag zerowidth\n"),
        ("edge.txt", "x" * 1_000),
    ],
)
async def test_a_file_under_the_root_is_read_without_what_nobody_sees(root: Path, path: str, text: str) -> None:
    assert await reader(root).call({"path": path}, key="") == text


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "sub/../../secret.txt",
        "sub/../a.txt",
        "..",
        ".",
        "/",
        "/etc/passwd",
        "~/secret.txt",
        "..\\secret.txt",
        "a.txt\0",
        "out.txt",
        "inside.txt",
        "folder/secret.txt",
        "folder/root/a.txt",
        "pipe",
        "socket",
        "sub",
        "a.txt/b",
        "big.txt",
    ],
)
async def test_what_leads_out_or_is_no_file_or_too_big_is_forbidden(root: Path, path: str) -> None:
    with pytest.raises(ToolForbidden, match=r"^path: ") as caught:
        await reader(root).call({"path": path}, key="")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["none.txt", "none/a.txt", "binary.txt", "broken.pdf", "x" * 300])
async def test_what_is_not_there_or_no_text_is_unavailable(root: Path, path: str) -> None:
    with pytest.raises(ToolUnavailable, match=r"^path: "):
        await reader(root).call({"path": path}, key="")


async def test_a_root_that_is_a_link_itself_is_followed_once(root: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(root)
    assert await reader(tmp_path / "linked").call({"path": "a.txt"}, key="") == "plain\n"


async def test_nothing_is_left_open(root: Path) -> None:
    await reader(root).call({"path": "a.txt"}, key="")  # the first thread of the loop is started
    before = psutil.Process().num_fds()
    for path in ("a.txt", "sub/deep/b.md", "pipe", "out.txt", "sub/deep/none", "sub"):
        with contextlib.suppress(ToolForbidden, ToolUnavailable):
            await reader(root).call({"path": path}, key="")
    assert psutil.Process().num_fds() == before
