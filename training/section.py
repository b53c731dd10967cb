"""Base class of the sections of a recipe."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of a recipe file. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
