"""Plan: what a surgeon wants to change, written by a person, checked before anything moves."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, FiniteFloat, model_validator

from core.evidence import Name, Strict, Text
from core.sides import SIDES, Side

Intensity = Annotated[FiniteFloat, Field(ge=0, le=100)]
Triple = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


class Sides(Strict):
    """A value for each side; a side that is not named stays as it is."""

    left: FiniteFloat = 0.0
    right: FiniteFloat = 0.0

    def on(self, side: Side) -> float:
        """The value of one side."""
        return self.left if side == "left" else self.right


Value = FiniteFloat | Sides


def both(sides: object) -> object:
    """A single side, or the word both."""
    return list(SIDES) if sides == "both" else [sides] if isinstance(sides, str) else sides


class PlannedProcedure(Strict):
    """One operation: an intensity, or explicit values for named steps (mm, degrees or percent).

    With `values` given, the steps not named stay at zero unless `intensity` is given as well. A step that has sides
    takes one number for both, or `{left: ..., right: ...}`. `side` limits an intensity, and single numbers, to one.
    """

    procedure: str
    intensity: Intensity | None = None
    values: dict[str, Value] = {}
    side: Annotated[tuple[Side, ...], BeforeValidator(both), Field(min_length=1, max_length=2)] = SIDES


class PlannedFlag(Strict):
    """A clinical finding of the person: its name in the table of flags, its side and grade where it has them.

    `lock`: nothing on that side may move at all.
    """

    flag: Name
    side: Side | None = None
    lock: bool = False
    grade: Annotated[int, Field(ge=1, le=6)] | None = None
    note: str = ""


class Override(Strict):
    """A surgeon's decision to go beyond a limit, with the reason; it is kept with the prediction.

    `what` is `procedure.step` (its clamp), `procedure` (a red contraindication) or a flag's name (a permission that it
    takes). `apply_shape` lets that flag's factors change the predicted shape, which they never do by themselves.
    """

    what: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$")]
    reason: Annotated[str, Field(min_length=3, max_length=500)]
    apply_shape: bool = False


class FreeMove(Strict):
    """A place on the skin moved by hand: at a landmark, a position (mm, the nearest skin is taken), or a surface point.

    radius_mm: distance along the skin at which the move has faded to nothing.
    """

    label: Text = "free hand"
    at: str | None = None
    at_mm: Triple | None = None
    face: Annotated[int, Field(ge=0)] | None = None
    bary: Triple | None = None
    move_mm: Triple
    radius_mm: Annotated[FiniteFloat, Field(ge=2, le=80)]

    @model_validator(mode="after")
    def one_place(self) -> "FreeMove":
        """The place is given in one way, and the move is no longer than half its radius, so that no skin folds."""
        if sum(v is not None for v in (self.at, self.at_mm, self.face)) != 1 or (self.face is None) != (
                self.bary is None):
            raise ValueError("give exactly one of at (a landmark), at_mm, and face with bary")
        if sum(c * c for c in self.move_mm) > (self.radius_mm / 2)**2:
            raise ValueError("a move may be at most half as long as its radius, or the skin folds")
        return self


class Plan(Strict):
    """Operations in their order. `id` names the plan's folder.

    overlap: where operations meet, `sum` adds what each does to the head as it is now; `in_turn` lets each begin where
    the one before it ended. topology: the mesh that `face` numbers belong to; a plan for another one is refused.
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = "plan"
    procedures: list[PlannedProcedure] = []
    free: list[FreeMove] = []
    flags: list[PlannedFlag] = []
    overrides: list[Override] = []
    overlap: Literal["sum", "in_turn"] = "sum"
    topology: str | None = None

    @model_validator(mode="after")
    def something(self) -> "Plan":
        """A plan moves something; face numbers need a topology."""
        if not (self.procedures or self.free):
            raise ValueError("a plan has at least one procedure or free move")
        if self.topology is None and any(f.face is not None for f in self.free):
            raise ValueError("face numbers belong to one mesh: give its `topology`")
        return self

    def override(self, what: str) -> Override | None:
        """The override of a limit, None without one."""
        return next((o for o in self.overrides if o.what == what), None)
