"""What is installed: the wheel's content, the extras' borders, the pinned versions, and the links at the root."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LINKS = ("agents", "bus", "shared", "supervisor")
FROM_EXTRAS = ("anthropic", "bs4", "chromadb", "docx", "numpy", "onnxruntime", "openai", "pypdf", "tokenizers")

_IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{name}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, text=True)
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file).namelist()


def test_the_wheel_holds_the_package_and_nothing_else(wheel: list[str]) -> None:
    assert {name.partition("/")[0] for name in wheel if ".dist-info/" not in name} == {"stretto"}


def test_the_wheel_holds_every_file_of_the_package(wheel: list[str]) -> None:
    files = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "stretto").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert "stretto/py.typed" in files
    assert files <= set(wheel), files - set(wheel)


def test_the_wheel_holds_the_licence_and_the_command(wheel: list[str]) -> None:
    ends = {name.partition(".dist-info/")[2] for name in wheel}
    assert {"licenses/LICENSE", "entry_points.txt"} <= ends


def test_the_four_parts_stand_at_the_root_as_links() -> None:
    assert {name: (ROOT / name).readlink() for name in LINKS} == {name: Path("stretto") / name for name in LINKS}


def test_nothing_imports_through_the_links() -> None:
    through = {
        f"{file.relative_to(ROOT)}: {name}"
        for folder in ("stretto", "tests", "benchmarks", "examples", "tools")
        for file in (ROOT / folder).rglob("*.py")
        for name in imported_modules(file)
        if name.partition(".")[0] in LINKS
    }
    assert through == set()


def test_services_do_not_import_what_only_extras_install() -> None:
    packages = (
        "stretto.bus",
        "stretto.agents",
        "stretto.supervisor",
        "stretto.shared.contracts",
        "stretto.shared.settings",
    )
    ran = subprocess.run([sys.executable, "-c", _IMPORT_ALL, *packages], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    loaded = ran.stdout.split()
    assert "nats" in loaded
    assert set(loaded) & set(FROM_EXTRAS) == set()


def test_constraints_pin_every_requirement_within_its_range() -> None:
    pinned = dict(pinned_versions())
    assert {
        str(one): pinned.get(canonicalize_name(one.name)) for one in requirements() if not is_met(one, pinned)
    } == {}


def imported_modules(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    return [one for one in map(Requirement, texts) if one.name != project["name"]]


def pinned_versions() -> Iterator[tuple[str, str]]:
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            found = re.fullmatch(r"([\w.-]+)==([\w.!+]+)", line)
            assert found, f"constraints.txt: {line!r} is not an exact version"
            yield canonicalize_name(found[1]), found[2]


def is_met(requirement: Requirement, pinned: dict[str, str]) -> bool:
    version = pinned.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(version, prereleases=True)
