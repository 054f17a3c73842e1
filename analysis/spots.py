"""Spots: the places of the face whose left and right are compared (`data/symmetry.yaml`), all true mirror pairs."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float, Int

from core.records import record

DATA = Path(__file__).parents[1] / "data"
REGIONS = ("eyes", "brows", "nose", "cheeks", "mouth", "jaw")
COMPONENTS = ("shift", "height", "depth", "outward")


@record
class Spot:
    """One place. left: points on the patient's left, right: their mirror images (the same on the midline).

    counts: which components are judged. visible_mm: the difference that viewers begin to notice. box_mm: None where the
    skin inside a photo does not tell. response, lean_mm: of the landmark detector (see the table); 0: it does not show
    this place. front, oblique: levels of the face's outline that tell, from the front and from three-quarters.
    """

    name: str
    label: str
    region: str
    left: tuple[int, ...]
    right: tuple[int, ...]
    counts: tuple[str, ...]
    visible_mm: float
    box_mm: tuple[float, float] | None = None
    most_yaw_deg: float = 0.0
    response: float = 0.0
    lean_mm: float = 0.0
    front: tuple[float, float] | None = None
    front_yaw_deg: float = 0.0
    oblique: tuple[float, float] | None = None

    @property
    def middle(self) -> bool:
        """Whether it lies on the midline."""
        return self.left == self.right


@functools.cache
def mirror478() -> Int[np.ndarray, "478"]:
    """The number of each landmark's mirror image."""
    return np.array(json.loads((DATA / "landmarks" / "mediapipe478.json").read_text())["mirror"])


@functools.cache
def spots() -> tuple[Spot, ...]:
    """All places. ValueError: the table names a pair that is none, or a region that is not known."""
    rows = yaml.safe_load((DATA / "symmetry.yaml").read_text())["spots"]
    left = set(json.loads((DATA / "landmarks" / "mediapipe478.json").read_text())["left"])
    return tuple(spot_of(name, row, left) for name, row in rows.items())


def spot_of(name: str, row: dict[str, Any], on_left: set[int]) -> Spot:
    """A row of the table, checked."""
    points = tuple(int(p) for p in row["left"])
    twins = tuple(int(t) for t in mirror478()[list(points)])
    if points != twins and not set(points) <= on_left:
        raise ValueError(f"{name}: {points} are neither all on the midline nor all on the patient's left")
    if row["region"] not in REGIONS or not set(row["counts"]) <= set(COMPONENTS):
        raise ValueError(f"{name}: unknown region or component")
    box, front, oblique = (None if row.get(k) is None else (float(row[k][0]), float(row[k][1]))
                           for k in ("box_mm", "front", "oblique"))
    return Spot(name=name, label=row["label"], region=row["region"], left=points, right=twins,
                counts=tuple(row["counts"]), visible_mm=float(row["visible_mm"]),
                box_mm=box, front=front, front_yaw_deg=float(row.get("front_yaw_deg", 0)), oblique=oblique,
                most_yaw_deg=float(row.get("most_yaw_deg", 0)), response=float(row.get("response", 0)),
                lean_mm=float(row.get("lean_mm", 0)))


def sides(spot: Spot, points_mm: Float[np.ndarray, "478 3"]) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Where the spot lies on the patient's left and right (mm)."""
    return points_mm[list(spot.left)].mean(0), points_mm[list(spot.right)].mean(0)


def evened(points_mm: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478 3"]:
    """The points half way between themselves and their mirror image: symmetric."""
    even: np.ndarray = (points_mm + points_mm[mirror478()] * [-1, 1, 1]) / 2
    return even
