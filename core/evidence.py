"""Evidence: where a clinical number comes from, how far it spreads, and how far it may be trusted."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

Mark = Literal["M", "V", "P", "T", "D", "E"]
"""Evidence: measured, review, practice, textbook, derived, engineering assumption."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Text = Annotated[str, Field(min_length=1)]
Band = Literal["low", "mean", "high"]
"""The least, the average and the most that is to be expected of the same operation."""
BANDS: tuple[Band, ...] = ("low", "mean", "high")


class Strict(BaseModel):
    """No unknown keys, no NaN, no change after construction."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Evidence(Strict):
    """Where a number comes from. Source keys stand in brackets, `[RHIN09]`, and are resolved by the procedure."""

    mark: Mark
    source: Text
    sd: Annotated[FiniteFloat, Field(ge=0)] | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


class Spread(Strict):
    """A number that differs from person to person: its mean, the weak and the strong end, and its evidence.

    Without `low` and `high` the ends lie one `sd` from the mean, towards less and more motion; without an sd the mean
    is all that is known, and the band has no width. The ends may lie on either side of zero where sources disagree.
    """

    mean: FiniteFloat
    mark: Mark
    source: Text
    sd: Annotated[FiniteFloat, Field(ge=0)] | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None

    @model_validator(mode="after")
    def ordered(self) -> "Spread":
        """The mean lies between the ends."""
        weak, strong = self.at("low"), self.at("high")
        if not min(weak, strong) <= self.mean <= max(weak, strong):
            raise ValueError(f"the mean {self.mean:g} must lie between low {weak:g} and high {strong:g}")
        return self

    def at(self, band: Band) -> float:
        """The number at one end of the band, or its mean."""
        if band == "mean":
            return self.mean
        given = self.low if band == "low" else self.high
        away = (self.sd or 0.0) * (-1 if self.mean < 0 else 1)
        return given if given is not None else self.mean + (away if band == "high" else -away)
