"""Message: the base of everything that travels in an envelope's body."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

__all__ = ["Message", "Value"]


class Value(BaseModel):
    """A frozen part of a message. Unknown optional fields are ignored, so that old readers take new writers' messages."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


class Message(Value):
    """A whole body, named on the wire by `TYPE` and `VERSION` ("major.minor").

    Within a major version only optional fields with defaults are added. `PLACE` names the fields that the end of its subject says too, in
    that order: one that says otherwise there counts for nothing.
    """

    TYPE: ClassVar[str]
    VERSION: ClassVar[str] = "1.0"
    PLACE: ClassVar[tuple[str, ...]] = ()

    def fits(self, subject: str) -> bool:
        """Whether it says of its place what its subject says."""
        said = [str(getattr(self, name)) for name in self.PLACE]
        return not said or subject.split(".")[-len(said) :] == said
