"""Procedure: one operation of the catalogue, as data that a person can write (YAML) and a machine can check.

Every number is carried with its evidence: a mark, a source and, where published, its spread.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator

Mark = Literal["M", "V", "P", "T", "D", "E"]
"""Evidence: measured, review, practice, textbook, derived, engineering assumption."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Vector = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


class Strict(BaseModel):
    """No unknown keys, no NaN, no change after construction."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def check_affine(weights: dict[str, float]) -> dict[str, float]:
    """Weights that sum to one, so that the mean does not depend on where the origin is."""
    if abs(sum(weights.values()) - 1) > 1e-6:
        raise ValueError(f"the weights of a mean of pins must sum to 1, not {sum(weights.values()):g}")
    return weights


class Evidence(Strict):
    """Where a number comes from. Source keys stand in brackets, `[RHIN09]`, and are resolved by the procedure."""

    mark: Mark
    source: Annotated[str, Field(min_length=1)]
    sd: Annotated[FiniteFloat, Field(ge=0)] | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


class StepEvidence(Strict):
    """Evidence of the three numbers of a step."""

    typical: Evidence
    maximum: Evidence
    clamp: Evidence


def as_weights(pins: object) -> object:
    """A single pin's name means all the weight on it."""
    return {pins: 1.0} if isinstance(pins, str) else pins


Mean = Annotated[dict[str, FiniteFloat], BeforeValidator(as_weights), AfterValidator(check_affine)]
"""A pin's name, or weights of pins that sum to one: a weighted mean of their positions."""


class Point(Strict):
    """A surface point that is no landmark: the nearest skin, well inside the regions that may move, to a weighted mean
    of pins plus an offset (mm).
    """

    of: Mean
    offset_mm: Vector = (0.0, 0.0, 0.0)
    evidence: Evidence


class Handle(Strict):
    """A point of the face that a step moves, and how far per unit of the step.

    `pin` is an anthropometric landmark or one of the procedure's `points`; `_l`/`_r` are the patient's sides.
    `move` (x, y, z) is mm per unit in the head frame. `medial` moves mm per unit towards the mid-sagittal plane.
    A step in degrees turns the handle instead, about the head's x axis through the mean of pins `rotate_about`;
    positive lifts what lies in front, and `share` is the part of the angle that it turns. `follow` makes the handle go
    the part `share` of what another handle of the step does.
    """

    pin: str
    move: Vector | None = None
    rotate_about: Mean | None = None
    medial: FiniteFloat | None = None
    follow: str | None = None
    share: FiniteFloat = 1.0
    evidence: Evidence

    @model_validator(mode="after")
    def one_motion(self) -> "Handle":
        """A handle has exactly one kind of motion."""
        if sum(v is not None for v in (self.move, self.rotate_about, self.medial, self.follow)) != 1:
            raise ValueError(f"handle {self.pin}: give exactly one of move, rotate_about, medial, follow")
        if self.rotate_about is None and self.follow is None and self.share != 1:
            raise ValueError(f"handle {self.pin}: share goes with rotate_about or follow; scale move or medial instead")
        return self


class Step(Strict):
    """A signed quantity of the operation: its unit, the value at 50-60 % and 100 % intensity, and its hard clamp.

    `preset` says whether an intensity alone moves it. `notes` are shown whenever the step is used.
    """

    name: Name
    label: str
    unit: Literal["mm", "deg"]
    typical: FiniteFloat
    maximum: FiniteFloat
    clamp: tuple[FiniteFloat, FiniteFloat]
    evidence: StepEvidence
    preset: bool = True
    handles: Annotated[tuple[Handle, ...], Field(min_length=1)]
    notes: tuple[str, ...] = ()

    @property
    def mark(self) -> Mark:
        """Evidence mark of the typical value, to print beside the slider."""
        return self.evidence.typical.mark

    @property
    def source(self) -> str:
        """Source of the typical value."""
        return self.evidence.typical.source

    @model_validator(mode="after")
    def ordered(self) -> "Step":
        """clamp low <= 0 <= clamp high, and the maximum lies inside."""
        low, high = self.clamp
        if not (low <= 0 <= high and low <= self.maximum <= high and low <= self.typical <= high):
            raise ValueError(f"step {self.name}: typical and maximum must lie within the clamp, which contains 0")
        if self.maximum == 0 or not 0.5 <= self.typical / self.maximum <= 0.6:
            raise ValueError(f"step {self.name}: typical must be reached at 50 to 60 % of the maximum")
        return self

    @model_validator(mode="after")
    def handles_fit(self) -> "Step":
        """Degrees turn, millimetres move; a pin is moved once; what is followed moves by itself."""
        leaders = {h.pin: h for h in self.handles if h.follow is None}
        if any((h.rotate_about is not None) != (self.unit == "deg") for h in leaders.values()):
            raise ValueError(f"step {self.name}: a step in degrees uses rotate_about, a step in mm move or medial")
        if len({h.pin for h in self.handles}) < len(self.handles):
            raise ValueError(f"step {self.name}: a pin may be moved only once")
        if any(h.follow is not None and h.follow not in leaders for h in self.handles):
            raise ValueError(f"step {self.name}: follow names a handle of the same step that does not follow itself")
        return self

    def at(self, intensity: float) -> float:
        """The value at an intensity of 0..100, linear: zero at 0, `maximum` at 100, `typical` between 50 and 60."""
        return self.maximum * intensity / 100


class Procedure(Strict):
    """An operation: its steps, the tissue that follows and what must not move.

    falloff_mm: surface distance at which a handle's pull has faded below 5 %. regions: parts of the face that may
    move; immobile: parts that may not, even inside `regions`. anchors: pins held at zero unless a step moves them.
    """

    name: Name
    label: str
    description: str
    falloff_mm: Annotated[FiniteFloat, Field(gt=0)]
    falloff_evidence: Evidence
    regions: Annotated[tuple[str, ...], Field(min_length=1)]
    immobile: tuple[str, ...] = ()
    anchors: tuple[str, ...] = ()
    points: dict[Name, Point] = {}
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    sources: dict[str, str] = {}

    @model_validator(mode="after")
    def consistent(self) -> "Procedure":
        """Step names differ and every bracketed source key is resolved."""
        names = [s.name for s in self.steps]
        if len(set(names)) < len(names):
            raise ValueError(f"{self.name}: two steps have the same name")
        cited = {key for e in self.evidence() for key in re.findall(r"\[([^\]]+)\]", e.source)}
        if cited - set(self.sources):
            raise ValueError(f"{self.name}: sources not listed: {', '.join(sorted(cited - set(self.sources)))}")
        return self

    def evidence(self) -> Iterator[Evidence]:
        """The evidence of every number in the procedure."""
        yield self.falloff_evidence
        yield from (p.evidence for p in self.points.values())
        for step in self.steps:
            yield from (step.evidence.typical, step.evidence.maximum, step.evidence.clamp)
            yield from (h.evidence for h in step.handles)

    def step(self, name: str) -> Step | None:
        """The step of that name, or None."""
        return next((s for s in self.steps if s.name == name), None)

    def pins(self) -> tuple[str, ...]:
        """Every handle of the operation in a fixed order: anchors first, then what its steps move."""
        return tuple(dict.fromkeys((*self.anchors, *(h.pin for s in self.steps for h in s.handles))))
