"""Where procedures meet: their sum at a landmark stays within what the widest of their clamps allows there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from core.evidence import BANDS, Band
from core.mesh import Mesh
from core.prediction import Landed, triple
from core.surface import SurfacePoints
from deform3d.catalogue import Catalogue
from deform3d.unfold import unfolded
from deform3d.volume import spoiled


@dataclass(frozen=True, kw_only=True)
class Done:
    """One entry of a plan, carried out: its fields by band, its handles asked and landed, and their places."""

    name: str
    label: str
    value: float
    unit: str
    moves: dict[Band, Float[np.ndarray, "v 3"]]
    landed: tuple[Landed, ...]
    told: tuple[str, ...] = ()
    places: SurfacePoints | None = None

    def held_back(self, share: float) -> "Done":
        """The same to a share of itself."""
        less = tuple(replace(i, landed_mm=triple(share * np.array(i.landed_mm))) for i in self.landed)
        return self if share == 1 else replace(self, moves={b: share * u for b, u in self.moves.items()}, landed=less)


def limited(made: Sequence[Done], before: Sequence[Done], catalogue: Catalogue) -> tuple[float, list[str]]:
    """The share of a procedure that may be added to those before it, and what to tell.

    At every landmark that both move, the sum of all motions may not exceed the largest motion that one step, at its
    clamp, may make there. The share is 1 where nothing is exceeded, and never below 0; a limit that the earlier
    procedures reach alone does not hold back what makes the sum smaller.
    """
    share, told = 1.0, []
    for pin in sorted({i.pin for d in made for i in d.landed} & {i.pin for d in before for i in d.landed}):
        own, already = at(made, pin), at(before, pin)
        limit = max(reach(d, pin, catalogue) for d in (*made, *before))
        if np.linalg.norm(already + own) <= limit + 1e-9:
            continue
        part = largest_share(already, own, limit)
        if part < 1:
            told.append(f"At {pin} the procedures together ask for {np.linalg.norm(already + own):.1f} mm, more than "
                        f"the {limit:.1f} mm that any one may; {made[0].name.split('.')[0]} is held back to "
                        f"{100 * part:.0f} %.")
            share = min(share, part)
    return share, told


def smoothed(mesh: Mesh, done: Sequence[Done]) -> list[Done]:
    """The same, drawn smooth in folds that all entries together would turn over though none does alone; a fold of the
    strongest response is no reason to touch the mean."""
    places = [d.places for d in done if d.places is not None]
    pins = SurfacePoints(face=np.concatenate([p.face for p in places]), bary=np.concatenate([p.bary for p in places]))
    total = np.tile(np.eye(3), (len(done), 1))
    out = list(done)
    for band in BANDS:
        if not any(bad.any() for bad in spoiled(mesh, np.sum([d.moves[band] for d in out], axis=0))):
            continue
        fields = np.concatenate([d.moves[band] for d in out], axis=1)
        better = unfolded(mesh, fields, ~fields.any(1), [total], pins)
        if better is not fields:
            out = [replace(d, moves={**d.moves, band: part})
                   for d, part in zip(out, np.split(better, len(out), axis=1), strict=True)]
    return out


def at(entries: Sequence[Done], pin: str) -> np.ndarray:
    """The sum of motions (mm) at a landmark."""
    return np.sum([np.zeros(3), *(np.array(i.landed_mm) for d in entries for i in d.landed if i.pin == pin)], axis=0)


def reach(entry: Done, pin: str, catalogue: Catalogue) -> float:
    """How far (mm) an entry's step may move a landmark at its clamp."""
    moved = np.linalg.norm(at([entry], pin))
    procedure, step, *_ = entry.name.split(".")
    found = catalogue[procedure].step(step) if procedure in catalogue else None
    if found is None or not entry.value:
        return float(moved)
    low, high = found.clamp
    return float(moved / abs(entry.value) * max(abs(low), abs(high), abs(entry.value)))


def largest_share(already: np.ndarray, own: np.ndarray, limit: float) -> float:
    """The largest t in [0, 1] with |already + t own| <= max(limit, |already|)."""
    limit = max(limit, float(np.linalg.norm(already)))
    a, b, c = own @ own, already @ own, already @ already - limit**2
    return float(np.clip((-b + np.sqrt(max(b * b - a * c, 0))) / a, 0, 1)) if a > 0 else 1.0
