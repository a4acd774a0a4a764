"""The `stretto models` commands and their options. Each imports what it needs when it is called, so that `--help` is quick."""

from typing import Annotated

import typer

from stretto.cli.options import Json

__all__ = ["models_app"]

models_app = typer.Typer(no_args_is_help=True, help="The language models that can be used here.")

Names = Annotated[
    list[str] | None, typer.Argument(help="Models, as PROVIDER:MODEL; without any, those of the settings.")
]


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """The providers of language models and what each lacks, and the models that each role asks. Nothing is sent to them."""
    from stretto.cli.execute import execute
    from stretto.cli.models_commands import list_providers

    execute(lambda settings: list_providers(settings, as_json=as_json), as_json=as_json)


@models_app.command("test")
def models_test(names: Names = None, as_json: Json = False) -> None:
    """Call models once, with a small question: whether they answer, how fast, and what they can do."""
    from stretto.cli.execute import execute
    from stretto.cli.models_commands import try_models

    execute(lambda settings: try_models(settings, names or (), as_json=as_json), as_json=as_json)
