"""Toolset and its settings: who may use what, and what is said when it cannot be."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from pydantic import JsonValue, TypeAdapter

from stretto.shared.settings import Settings, SettingsError, load_settings
from stretto.shared.tools.function import tool
from stretto.shared.tools.limits import LimitedTool, ToolLimits
from stretto.shared.tools.settings import ToolSettings
from stretto.shared.tools.toolset import Toolset

HERE = "tests.unit.test_toolset"


@tool(effects="keyed")
async def greet(name: str, key: str) -> str:
    """Greet somebody."""
    return f"Hello {name}, {key}"


def settings(**tools: dict[str, object]) -> Mapping[str, ToolSettings]:
    return TypeAdapter(dict[str, ToolSettings]).validate_python(tools)


def names(tools: Sequence[object]) -> list[str]:
    return [one.name for one in tools if isinstance(one, LimitedTool)]


async def test_a_role_has_the_tools_that_name_it_and_no_other() -> None:
    given = settings(
        sums={"kind": "calculate", "roles": ["writer", "researcher"], "time_limit_s": 2, "over": "artifact"},
        search={"kind": "memory_search", "roles": ["researcher"]},
        web={"kind": "fetch", "roles": ["researcher"], "hosts": ["example.org"]},
        hello={"kind": "function", "roles": ["writer"], "function": f"{HERE}:greet"},
    )
    async with Toolset(given, roles=["writer", "researcher", "reviewer"]) as tools:
        assert names(tools.of("writer")) == ["sums", "hello"]
        assert names(tools.of("researcher")) == ["sums", "search", "web"]
        assert tools.of("reviewer") == ()
        sums, hello = tools.of("writer")
        assert isinstance(sums, LimitedTool)
        assert sums.limits == ToolLimits(time_limit_s=2, over="artifact")
        assert (hello.effects, hello.description) == ("keyed", "Greet somebody.")
        assert await hello.call({"name": "Ann"}, key="k") == "Hello Ann, k"
        assert await sums.call({"expression": "2 * 21"}, key="") == "42"


async def test_what_no_role_of_the_process_may_use_is_not_opened() -> None:
    given = settings(broken={"kind": "function", "roles": ["writer"], "function": "no.such.module:f"})
    async with Toolset(given, roles=["researcher"]) as tools:
        assert tools.of("researcher") == ()
    with pytest.raises(SettingsError, match=r"tools\.broken\.function: no\.such\.module cannot be imported"):
        async with Toolset(given, roles=["writer"]):
            pass


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"kind": "function", "function": f"{HERE}:settings"}, "is no tool: put @tool on a function"),
        ({"kind": "function", "function": f"{HERE}:nothing"}, "is no tool"),
        ({"kind": "read_file", "root": "no/such/folder"}, "is no folder"),
    ],
)
async def test_a_tool_that_cannot_be_opened_is_told(given: dict[str, object], why: str) -> None:
    with pytest.raises(SettingsError, match=rf"settings: tools\.mine.*{why}"):
        async with Toolset(settings(mine={**given, "roles": ["writer"]}), roles=["writer"]):
            pass


async def test_two_tools_of_one_name_are_refused() -> None:
    given = settings(greet={"kind": "calculate", "roles": ["writer"]})
    async with Toolset(given, roles=["writer"]) as tools:
        with pytest.raises(SettingsError, match="the role writer has several tools called 'greet': rename one"):
            tools.of("writer", beside=[greet])


async def test_a_root_is_made_absolute_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    given = settings(files={"kind": "read_file", "roles": ["writer"], "root": str(tmp_path)})
    async with Toolset(given, roles=["writer"]) as tools:
        (files,) = tools.of("writer")
        assert await files.call({"path": "a.txt"}, key="") == "text"


WRONG: list[tuple[dict[str, JsonValue], str]] = [
    ({"roles": ["writer"]}, r"tools\.mine \(as given\): say of which kind it is"),
    ({"kind": "fetsch", "roles": ["writer"]}, "there is no such kind: use one of 'function'"),
    ({"kind": "calculate"}, r"tools\.mine\.roles \(as given\): Field required"),
    ({"kind": "calculate", "roles": []}, r"tools\.mine\.roles"),
    ({"kind": "calculate", "roles": ["writer"], "time_limit_s": 0}, r"tools\.mine\.time_limit_s"),
    ({"kind": "calculate", "roles": ["writer"], "hosts": ["a"]}, r"tools\.mine\.hosts .*there is no such setting"),
    ({"kind": "fetch", "roles": ["writer"]}, r"tools\.mine\.hosts .*Field required"),
    ({"kind": "fetch", "roles": ["writer"], "hosts": ["https://a.org"]}, "no scheme, port or path"),
    ({"kind": "fetch", "roles": ["writer"], "hosts": ["*"]}, "a host is like example.org"),
    ({"kind": "function", "roles": ["writer"], "function": "os.system"}, 'name a function as "module:name"'),
]


@pytest.mark.parametrize(("given", "why"), WRONG)
def test_settings_that_are_wrong_are_told_with_their_place(given: dict[str, JsonValue], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        load_settings(tools={"mine": given})


def test_a_name_that_no_provider_takes_is_refused() -> None:
    with pytest.raises(SettingsError, match="there cannot be a tool called 'my tool'"):
        load_settings(tools={"my tool": {"kind": "calculate", "roles": ["writer"]}})
    assert Settings().tools == {}
