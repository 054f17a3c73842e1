"""ClinicalFlag: a finding of the person, and what it changes: bands, permissions, warnings."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, model_validator

from core.evidence import Evidence, Mark, Name, Strict, Text

Level = Literal["red", "amber", "green"]
"""red: refused without an override; amber: told; green: noted."""


class Factor(Strict):
    """A factor and its evidence."""

    value: Annotated[FiniteFloat, Field(gt=0)]
    mark: Mark
    source: Text


class Warned(Strict):
    """What is said when the flag meets one of some procedures (all without a list), from a grade on."""

    level: Level
    text: Text
    procedures: tuple[Name, ...] = ()
    from_grade: int | None = None
    evidence: Evidence

    def meets(self, procedure: str, grade: int | None) -> bool:
        """Whether it is said of a procedure; with an unknown grade the worst is assumed."""
        graded = self.from_grade is None or grade is None or grade >= self.from_grade
        return graded and (not self.procedures or procedure in self.procedures)


class ClinicalFlag(Strict):
    """A finding. `procedures` limits its effects; without it they hold for all.

    side: whether the plan must name a side. grade: what a grade (1 to 6) means, when it has one.
    band: widens the band about the mean. swelling: scales the layer of swelling. cap_percent: the largest part of a
    step's maximum that is allowed without an override. one_sided: both sides of an operation may not be planned alike
    from one number. protect_texture: the skin's own picture moves with the skin and is never painted anew.
    extent, response: factors of the fall-off and of the skin's answer; used only with an override that says so.
    """

    name: Name
    label: Text
    side: Literal["none", "optional", "required"] = "none"
    grade: str | None = None
    procedures: tuple[Name, ...] = ()
    band: Factor | None = None
    swelling: Factor | None = None
    cap_percent: Factor | None = None
    extent: Factor | None = None
    response: Factor | None = None
    one_sided: bool = False
    protect_texture: bool = False
    warnings: tuple[Warned, ...] = ()

    def touches(self, procedure: str) -> bool:
        """Whether its effects hold for a procedure."""
        return not self.procedures or procedure in self.procedures

    def sources(self) -> Iterator[str]:
        """The sources of all its numbers and sayings."""
        yield from (f.source for f in (self.band, self.swelling, self.cap_percent, self.extent, self.response) if f)
        yield from (w.evidence.source for w in self.warnings)


class FlagTable(Strict):
    """The flags that ship, and the source keys that they cite in brackets, `[BDD17, BDD12]`."""

    flags: tuple[ClinicalFlag, ...]
    sources: dict[str, str] = {}

    @model_validator(mode="after")
    def consistent(self) -> "FlagTable":
        """Names differ and every bracketed source key is resolved."""
        names = [f.name for f in self.flags]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"the flag {twice[0]} stands there twice")
        cited = {key for f in self.flags for text in f.sources() for group in re.findall(r"\[([^\]]+)\]", text)
                 for key in group.split(", ")}
        if cited - set(self.sources):
            raise ValueError(f"sources not listed: {', '.join(sorted(cited - set(self.sources)))}")
        return self
