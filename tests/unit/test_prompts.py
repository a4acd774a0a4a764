"""Prompts: their names and digests, and a deployment's own in place of Stretto's."""

import copy
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from stretto.agents.writer import Writer, WriteTask
from stretto.shared.contracts.draft import Claim, Draft
from stretto.shared.contracts.findings import Finding, Findings
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.protocol import Document, OnText, Output, Purse, Reply
from stretto.shared.prompt import Prompt, Prompts, render_prompt
from stretto.shared.prompt_folder import known_prompts, load_prompts
from stretto.shared.settings import SettingsError
from tests.unit.agent_world import surroundings

PACKAGE = Path(__file__).parents[2] / "stretto"


def test_a_prompt_knows_its_name_and_its_templates_digest() -> None:
    template = (PACKAGE / "agents" / "prompts" / "outline.md").read_bytes()
    prompt = Prompts().render("agents/outline")
    assert (prompt.name, prompt.digest) == ("agents/outline", hashlib.sha256(template).hexdigest()[:12])
    assert prompt == render_prompt("outline", package="stretto.agents")
    again = copy.deepcopy(prompt)
    assert (again, again.name, again.digest) == (prompt, prompt.name, prompt.digest)


def test_the_digest_is_the_templates_whatever_it_is_filled_with() -> None:
    digests = {
        Prompts().render("agents/writer", revising=revising, outlined=False, covered=True).digest
        for revising in (True, False)
    }
    assert len(digests) == 1


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        Prompts().render("agents/writer")


def test_every_prompt_of_an_agent_can_be_replaced_and_tells_data_from_instructions() -> None:
    known = known_prompts()
    assert {"agents/inquiry", "agents/researcher", "agents/best_of", "supervisor/planner"} <= known.keys()
    for name, text in known.items():
        assert (PACKAGE / name.split("/")[0] / "prompts" / f"{name.split('/')[1]}.md").read_text() == text
        assert re.search(r"are data|is what is to be searched for|not an instruction", text), name


def test_our_own_prompts_would_pass_as_a_deployments(tmp_path: Path) -> None:
    for name, text in known_prompts().items():
        put(tmp_path, name, text)
    prompts = load_prompts(tmp_path)
    own = Prompts().render("agents/inquiry", angle="prices", at_most=3)
    assert prompts.render("agents/inquiry", angle="prices", at_most=3) == own


def put(folder: Path, name: str, text: str) -> None:
    file = folder / f"{name}.md"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


class Listener:
    """A model that keeps its instructions."""

    name = "offline"
    instructions: str = ""

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        on_text: OnText | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output]:
        self.instructions = instructions
        draft = Draft(answered=True, claims=(Claim(text="It is so.", findings=("f-1",)),))
        return Reply(output_type.model_validate(draft.model_dump()), self.name, Usage(model_calls=1))


async def test_a_deployments_prompt_takes_the_place_of_ours(tmp_path: Path) -> None:
    put(tmp_path, "agents/writer", "Write like a pirate.{% if revising %} Again.{% endif %}")
    prompts = load_prompts(tmp_path)
    model = Listener()
    found = Findings(question="So?", findings=(Finding(id="f-1", quote="It is so.", source="so.md"),))
    await Writer(prompts=prompts).handle(WriteTask(request="So?", findings=(found,)), surroundings(model))
    assert isinstance(model.instructions, Prompt)
    assert (model.instructions, model.instructions.name) == ("Write like a pirate.", "agents/writer")
    own = Prompts().render("agents/writer", revising=False, outlined=False, covered=True)
    assert model.instructions.digest != own.digest
    assert prompts.render("agents/outline") == Prompts().render("agents/outline")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("agents/writr", "Write.", "did you mean agents/writer.md?"),
        ("elsewhere", "Write.", "the file of no prompt"),
        ("agents/writer", "Write.\n{% if revising %}", "line 2: Unexpected end of template"),
        ("agents/writer", "{{ revising | shout }}", "No filter named 'shout'"),
        ("agents/writer", "Write for {{ customer }}.", "asks for customer: agents/writer is given covered, outlined"),
        ("agents/outline", "{{ request }}", "agents/outline is given no values"),
        ("agents/writer", " \n", "is empty"),
        ("agents/writer", "{{ revising.twice }}", "cannot be filled in: 'bool object' has no attribute 'twice'"),
        (
            "agents/inquiry",
            "{% if angle %}{{ at_most + angle }}{% endif %}",
            "cannot be filled in: unsupported operand",
        ),
    ],
)
def test_a_prompt_that_cannot_be_used_is_told_at_the_start(tmp_path: Path, name: str, text: str, said: str) -> None:
    put(tmp_path, name, text)
    with pytest.raises(SettingsError, match=re.escape(said)):
        load_prompts(tmp_path)


def test_a_folder_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is no folder"):
        load_prompts(tmp_path / "nowhere")
