"""Procedure: one operation of the catalogue, as data that a person can write (YAML) and a machine can check."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

Mark = Literal["M", "V", "P", "T", "D", "E"]
"""Evidence: measured, review, practice, textbook, derived, engineering assumption."""


class Strict(BaseModel):
    """No unknown keys, no NaN, no change after construction."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Handle(Strict):
    """A point of the face that a step moves, and how far per unit of the step.

    `pin` is an anthropometric landmark; without a `_l`/`_r` ending it lies on the mid-sagittal plane.
    `move` (x, y, z) is mm per unit in the head frame; a step in degrees turns the handle about `axis_pin` instead
    (about the head's x axis, positive lifts what lies in front). `medial` moves mm per unit towards the mid-plane.
    """

    pin: str
    move: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    rotate_about: str | None = None
    medial: FiniteFloat | None = None

    @model_validator(mode="after")
    def one_motion(self) -> "Handle":
        """A handle has exactly one kind of motion."""
        if sum(v is not None for v in (self.move, self.rotate_about, self.medial)) != 1:
            raise ValueError(f"handle {self.pin}: give exactly one of move, rotate_about, medial")
        return self


class Step(Strict):
    """A signed quantity of the operation: its unit, the value at 50-60 % and 100 % intensity, and its hard clamp."""

    name: str
    label: str
    unit: Literal["mm", "deg"]
    typical: FiniteFloat
    maximum: FiniteFloat
    clamp: tuple[FiniteFloat, FiniteFloat]
    mark: Mark
    source: str
    handles: Annotated[list[Handle], Field(min_length=1)]

    @model_validator(mode="after")
    def ordered(self) -> "Step":
        """clamp low <= 0 <= clamp high, and the maximum lies inside."""
        low, high = self.clamp
        if not (low <= 0 <= high and low <= self.maximum <= high and low <= self.typical <= high):
            raise ValueError(f"step {self.name}: typical and maximum must lie within the clamp, which contains 0")
        if not 0.5 <= self.typical / self.maximum <= 0.6:
            raise ValueError(f"step {self.name}: typical must be reached at 50 to 60 % of the maximum")
        return self

    def at(self, intensity: float) -> float:
        """The value at an intensity of 0..100, linear: zero at 0, `maximum` at 100, `typical` between 50 and 60."""
        return self.maximum * intensity / 100


class Procedure(Strict):
    """An operation: its steps, the tissue that follows (mm of surface around the handles) and what must not move."""

    name: str
    label: str
    description: str
    falloff_mm: Annotated[FiniteFloat, Field(gt=0)]
    falloff_mark: Mark
    region: str
    anchors: list[str] = []
    immobile: list[str] = []
    steps: Annotated[list[Step], Field(min_length=1)]

    def step(self, name: str) -> Step | None:
        """The step of that name, or None."""
        return next((s for s in self.steps if s.name == name), None)
