"""Options: what several groups of commands take."""

from typing import Annotated

import typer

__all__ = ["Json", "Quiet", "Tenant"]

Json = Annotated[bool, typer.Option("--json", help="Write one JSON object to stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress at stderr.")]
Tenant = Annotated[str | None, typer.Option(help="For whom; without it the setting `tenant`.")]
