"""Procedure: one operation of the catalogue, as data that a person can write (YAML) and a machine can check.

Every number is carried with its evidence: a mark, a source and, where published, its spread.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat, model_validator

from core.evidence import Evidence, Mark, Name, Spread, Strict, Text
from core.healing import Healing
from core.sides import other_side, side_of, twin_points, twins

Vector = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
Unit = Literal["mm", "deg", "percent"]
MOTIONS = ("move", "medial", "outward", "level", "centre", "rotate_about", "follow")
UNIT_MOTIONS: Mapping[Unit, tuple[str, ...]] = {"mm": ("move", "medial", "outward", "level"), "deg": ("rotate_about",),
                                                "percent": ("centre",)}


def check_affine(weights: dict[str, float]) -> dict[str, float]:
    """Weights that sum to one, so that the mean does not depend on where the origin is."""
    if abs(sum(weights.values()) - 1) > 1e-6:
        raise ValueError(f"the weights of a mean of pins must sum to 1, not {sum(weights.values()):g}")
    return weights


def as_weights(pins: object) -> object:
    """A single pin's name means all the weight on it."""
    return {pins: 1.0} if isinstance(pins, str) else pins


Mean = Annotated[dict[str, FiniteFloat], BeforeValidator(as_weights), AfterValidator(check_affine)]
"""A pin's name, or weights of pins that sum to one: a weighted mean of their positions."""


class Furthest(Strict):
    """The point of a region that lies furthest in a direction of the head frame (the rim of an ear)."""

    region: str
    direction: Vector


class Point(Strict):
    """A surface point that is no landmark: the nearest skin, well inside the regions that may move, to a weighted mean
    of pins plus an offset (mm), in the region `within` alone where that is given, and of skin alone whose outward side
    looks `facing` (the back of an ear, though the scalp is nearer); or the furthest point of a region.
    """

    of: Mean | None = None
    within: str | None = None
    facing: Vector | None = None
    furthest: Furthest | None = None
    offset_mm: Vector = (0.0, 0.0, 0.0)
    evidence: Evidence

    @model_validator(mode="after")
    def one_place(self) -> "Point":
        """A point is given in one way."""
        if (self.of is None) == (self.furthest is None):
            raise ValueError("give exactly one of `of` (pins) and `furthest` (region, direction)")
        return self


class Axis(Strict):
    """The line through two means of pins, from the first to the second."""

    start: Mean
    end: Mean


class Level(Strict):
    """What stands out beyond the straight line from one pin to another by more than `spare_mm`: a face is convex."""

    start: str
    end: str
    spare_mm: Annotated[FiniteFloat, Field(ge=0)]

    @model_validator(mode="after")
    def a_line(self) -> "Level":
        """A line has two ends."""
        if self.start == self.end:
            raise ValueError(f"a line from {self.start} to itself has no direction")
        return self


class Handle(Strict):
    """A point of the face that a step moves, and how far per unit of the step.

    `pin` is an anthropometric landmark or one of the procedure's `points`; `_l`/`_r` are the patient's sides.
    `move` (x, y, z) is mm per unit in the head frame, `medial` mm per unit towards the mid-sagittal plane, `outward` mm
    per unit along the skin's normal; `level` takes the part `share` per mm of what stands out there, inwards. A step in
    percent takes that part of a handle's distance from the mid-sagittal plane away, times `centre`. A step in degrees
    turns the handle through the mean of pins `rotate_about`, by the right hand about `axis`; the usual axis points to
    the patient's right, so that positive lifts what lies in front. `share` is the part of the angle that it turns.
    `follow` makes the handle go the part `share` of what another handle of the step does. `slide` turns a `move`, or
    what is followed (before it slides itself), into the skin's plane at the handle: skin that is drawn over bone goes
    along it, not into it. `response` is how much of the motion, which is then the bone's, the skin shows.
    """

    pin: str
    move: Vector | None = None
    medial: FiniteFloat | None = None
    outward: FiniteFloat | None = None
    level: Level | None = None
    centre: FiniteFloat | None = None
    rotate_about: Mean | None = None
    axis: Vector | Axis = (-1.0, 0.0, 0.0)
    follow: str | None = None
    share: FiniteFloat = 1.0
    slide: bool = False
    response: Spread | None = None
    evidence: Evidence

    @property
    def motion(self) -> str:
        """Which of the motions it makes."""
        return next(m for m in MOTIONS if getattr(self, m) is not None)

    @model_validator(mode="after")
    def one_motion(self) -> "Handle":
        """A handle has exactly one kind of motion."""
        if sum(getattr(self, m) is not None for m in MOTIONS) != 1:
            raise ValueError(f"handle {self.pin}: give exactly one of {', '.join(MOTIONS)}")
        if self.share != 1 and self.motion not in ("rotate_about", "follow", "level"):
            raise ValueError(f"handle {self.pin}: share goes with rotate_about, follow or level; scale {self.motion} "
                             "instead")
        if self.slide and self.motion not in ("move", "follow"):
            raise ValueError(f"handle {self.pin}: slide goes with move or follow")
        if self.follow is not None and self.response is not None:
            raise ValueError(f"handle {self.pin}: what follows responds as its leader does; use share")
        if not isinstance(self.axis, Axis) and not any(self.axis):
            raise ValueError(f"handle {self.pin}: an axis has a direction")
        return self


Handles = Annotated[tuple[Handle, ...], BeforeValidator(twins), Field(min_length=1)]


def check_handles(what: str, unit: Unit, handles: tuple[Handle, ...]) -> None:
    """ValueError unless the motions fit the unit, a pin moves once, and what is followed moves by itself."""
    leaders = {h.pin: h for h in handles if h.follow is None}
    wrong = next((h for h in leaders.values() if h.motion not in UNIT_MOTIONS[unit]), None)
    if wrong is not None:
        raise ValueError(f"{what}: {wrong.pin} uses {wrong.motion}; a step in {unit} uses "
                         f"{' or '.join(UNIT_MOTIONS[unit])}")
    if len({h.pin for h in handles}) < len(handles):
        raise ValueError(f"{what}: a pin may be moved only once")
    if any(h.follow is not None and h.follow not in leaders for h in handles):
        raise ValueError(f"{what}: follow names a handle of the same step that does not follow itself")


class Coupling(Strict):
    """What a step drags along: so much of it per unit of the step, and the handles that show it.

    The handles' motions are per unit (mm) of the coupled amount.
    """

    name: Name
    label: Text
    unit: Literal["mm"] = "mm"
    amount: Spread
    handles: Handles

    @model_validator(mode="after")
    def handles_fit(self) -> "Coupling":
        """The handles' motions are in the coupling's unit."""
        check_handles(f"coupling {self.name}", self.unit, self.handles)
        return self


class PartOf(Strict):
    """What a step is measured against on the head itself: at most the share `most` of the way between two landmarks."""

    start: str
    end: str
    most: Annotated[FiniteFloat, Field(gt=0, le=1)]
    evidence: Evidence


class StepEvidence(Strict):
    """Evidence of the three numbers of a step."""

    typical: Evidence
    maximum: Evidence
    clamp: Evidence


class Step(Strict):
    """A signed quantity of the operation: its unit, the value at 50-60 % and 100 % intensity, and its hard clamp.

    `preset` says whether an intensity alone moves it, `sided` whether the two sides are asked for apart (its handles
    end in `_l` and `_r`). `response` is how much of the step shows, in all its handles. `notes` are shown whenever the
    step is used. `side_required`: an operation of one side only, which a plan must name.
    `excludes`: steps (`step`, or `procedure.step`) that cannot be done together with this one. `part_of`: a person is
    told when the step takes more than a share of a length of this head.
    """

    name: Name
    label: str
    unit: Unit
    typical: FiniteFloat
    maximum: FiniteFloat
    clamp: tuple[FiniteFloat, FiniteFloat]
    evidence: StepEvidence
    preset: bool = True
    sided: bool = False
    side_required: bool = False
    response: Spread | None = None
    handles: Handles
    couplings: tuple[Coupling, ...] = ()
    excludes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    part_of: PartOf | None = None

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
        """Motions fit the unit; a step with sides has handles on both, and none on the midline."""
        check_handles(f"step {self.name}", self.unit, self.handles)
        if self.part_of is not None and self.unit != "mm":
            raise ValueError(f"step {self.name}: only a step in mm is part of a length")
        if self.sided:
            names = {h.pin for h in (*self.handles, *(h for c in self.couplings for h in c.handles))}
            lone = sorted(n for n in names if side_of(n) is None or other_side(n) not in names)
            if lone:
                raise ValueError(f"step {self.name}: it has sides, but {lone[0]} has no twin on the other side")
        if self.side_required and (not self.sided or self.preset):
            raise ValueError(f"step {self.name}: side_required goes with sided: true and preset: false")
        return self

    def at(self, intensity: float) -> float:
        """The value at an intensity of 0..100, linear: zero at 0, `maximum` at 100, `typical` between 50 and 60."""
        return self.maximum * intensity / 100

    def every_handle(self) -> tuple[Handle, ...]:
        """What it moves and what it drags along."""
        return (*self.handles, *(h for c in self.couplings for h in c.handles))


class Contraindication(Strict):
    """What a clinical flag says against the operation. red: refused without an override; amber: told; green: noted."""

    flag: Name
    level: Literal["red", "amber", "green"]
    text: Text
    evidence: Evidence


class Procedure(Strict):
    """An operation: its steps, the tissue that follows and what must not move.

    category: the part of the face, for menus. falloff_mm: surface distance at which a handle's pull has faded below 5 %
    (with the usual kernel). regions: parts of the face that may move; immobile: parts that may not, even inside
    `regions`. follows: what lies behind the skin and goes with it (the lining of the mouth), less the deeper it lies.
    anchors: pins held at zero unless a step moves them. lids_slide: eyelids keep their distance from the globe.
    """

    name: Name
    label: str
    description: str
    category: Literal["nose", "eyes", "brow", "face", "jaw", "chin", "lips", "cheeks", "ears", "other"] = "other"
    kernel: Literal["wendland", "gaussian", "thin_plate"] = "wendland"
    falloff_mm: Annotated[FiniteFloat, Field(gt=0)]
    falloff_evidence: Evidence
    regions: Annotated[tuple[str, ...], Field(min_length=1)]
    immobile: tuple[str, ...] = ()
    anchors: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    lids_slide: bool = False
    points: Annotated[dict[Name, Point], BeforeValidator(twin_points)] = {}
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    healing: Healing | None = None
    contraindications: tuple[Contraindication, ...] = ()
    sources: dict[str, str] = {}

    @model_validator(mode="after")
    def consistent(self) -> "Procedure":
        """Step names differ, what follows is not immobile, and every bracketed source key is resolved."""
        names = [s.name for s in self.steps]
        if len(set(names)) < len(names):
            raise ValueError(f"{self.name}: two steps have the same name")
        both = sorted({*self.follows} & {*self.immobile})
        if both:
            raise ValueError(f"{self.name}: {both[0]} cannot follow the skin and be immobile")
        cited = {key for e in self.evidence() for key in re.findall(r"\[([^\]]+)\]", e.source)}
        if cited - set(self.sources):
            raise ValueError(f"{self.name}: sources not listed: {', '.join(sorted(cited - set(self.sources)))}")
        return self

    def evidence(self) -> Iterator[Evidence | Spread]:
        """The evidence of every number in the procedure."""
        yield self.falloff_evidence
        yield from (p.evidence for p in self.points.values())
        yield from () if self.healing is None else self.healing.evidence()
        yield from (c.evidence for c in self.contraindications)
        for step in self.steps:
            yield from (step.evidence.typical, step.evidence.maximum, step.evidence.clamp)
            yield from (h.evidence for h in step.every_handle())
            yield from (r for r in (step.response, *(h.response for h in step.every_handle())) if r is not None)
            yield from (c.amount for c in step.couplings)
            yield from () if step.part_of is None else (step.part_of.evidence,)

    def step(self, name: str) -> Step | None:
        """The step of that name, or None."""
        return next((s for s in self.steps if s.name == name), None)

    def pins(self) -> tuple[str, ...]:
        """Every handle of the operation in a fixed order: anchors first, then what its steps move."""
        return tuple(dict.fromkeys((*self.anchors, *(h.pin for s in self.steps for h in s.every_handle()))))

    def moved_pins(self) -> tuple[str, ...]:
        """The handles that some step moves."""
        return tuple(dict.fromkeys(h.pin for s in self.steps for h in s.every_handle()))
