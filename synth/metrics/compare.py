"""All metrics on one pair of pictures of the same frame."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from core.errors import InputRefused
from core.records import record
from synth.metrics.learned import features, identity, lpips, substituted
from synth.metrics.networks import MetricNetwork
from synth.metrics.pixels import psnr_db, ssim
from synth.metrics.places import nme
from synth.metrics.zones import zones

Detect = Callable[[UInt8[np.ndarray, "h w 3"]], Float[np.ndarray, "478 2"] | None]
METRICS = ("psnr_db", "ssim", "lpips", "nme", "identity")
"""Of one pair, in the order of the tables; FID is of a set."""


@record
class Tools:
    """What the metrics need beyond the pictures; what is None leaves its metric out."""

    detect: Detect | None = None
    lpips: MetricNetwork | None = None
    identity: MetricNetwork | None = None
    fid: MetricNetwork | None = None


@record
class Compared:
    """Values by metric and zone. None: the zone has no such value (equal pixels: PSNR is infinite, see `equal`).

    equal: zones in which no byte differs. features: FID's, of the first picture and of the second one by zone.
    notes: what could not be computed, and why.
    """

    values: dict[str, dict[str, float | None]]
    equal: tuple[str, ...]
    features: tuple[Float[np.ndarray, "d"], dict[str, Float[np.ndarray, "d"]]] | None
    notes: tuple[str, ...]


def compare(first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "sh sw 3"],
            mask: Float[np.ndarray, "mh mw"] | None, tools: Tools) -> Compared:
    """Compare the second picture with the first. InputRefused: sizes differ, or the mask covers nothing."""
    same_size(first, second, mask)
    found = zones(mask, (first.shape[0], first.shape[1]))
    values: dict[str, dict[str, float | None]] = {
        "psnr_db": {}, "ssim": {name: ssim(first, second, where) for name, where in found.items()}}
    equal, notes = [], []
    for name, where in found.items():
        value = psnr_db(first, second, where)
        values["psnr_db"][name] = value if np.isfinite(value) else None
        if not np.isfinite(value):
            equal.append(name)
    changed = {name: second if name == "whole" else substituted(first, second, where) for name, where in found.items()}
    if tools.lpips is not None:
        values["lpips"] = {name: lpips(tools.lpips, first, picture) for name, picture in changed.items()}
    if tools.detect is not None:
        points, others = tools.detect(first), tools.detect(second)
        if points is None or others is None:
            which = [name for name, p in (("first", points), ("second", others)) if p is None]
            notes.append(f"no face found in the {' and the '.join(which)} picture: no NME"
                         + (", no identity" if tools.identity is not None and points is None else ""))
        else:
            values["nme"] = nme_by_zone(others, points, found)
        if points is not None and tools.identity is not None:  # one frame: the first one's landmarks place both
            values["identity"] = {name: identity(tools.identity, first, picture, points)
                                  for name, picture in changed.items()}
    gathered = None if tools.fid is None else (
        features(tools.fid, first), {name: features(tools.fid, picture) for name, picture in changed.items()})
    return Compared(values=values, equal=tuple(equal), features=gathered, notes=tuple(notes))


def nme_by_zone(points_px: Float[np.ndarray, "478 2"], truth_px: Float[np.ndarray, "478 2"], found: dict) -> dict[
        str, float | None]:
    """NME of the landmarks in each zone; None where there is none."""
    result: dict[str, float | None] = {}
    for name, where in found.items():
        try:
            result[name] = nme(points_px, truth_px, None if name == "whole" else where)
        except ValueError:
            result[name] = None
    return result


def same_size(first: np.ndarray, second: np.ndarray, mask: np.ndarray | None) -> None:
    """InputRefused: two sizes, or a mask that covers nothing."""
    def text(a: np.ndarray) -> str:
        return f"{a.shape[1]}x{a.shape[0]}"

    if first.shape != second.shape:
        raise InputRefused("sizes_differ", f"The pictures are {text(first)} and {text(second)} px.",
                           "Both must show the same frame: do not crop or resize one of them.")
    if mask is not None and mask.shape != first.shape[:2]:
        raise InputRefused("mask_size", f"The mask is {text(mask)} px, the pictures {text(first)}.",
                           "Make the mask from the same picture.")
    if mask is not None and not np.any(mask > 0.5):
        raise InputRefused("mask_empty", "The mask covers nothing.", "White is what the operation may change.")
