"""Many pairs in a few numbers: over all, by procedure and by skin type, with FID of each group's set."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from core.records import record
from synth.metrics.compare import METRICS, Compared
from synth.metrics.learned import Gathered
from synth.metrics.zones import ZONES

GROUPINGS = ("all", "procedure", "skin")


@record
class Row:
    """One pair and where it belongs; skin None: not known."""

    name: str
    procedure: str | None
    skin: str | None
    compared: Compared


def summary(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """grouping -> group -> metric -> zone -> mean, sd, low, high, n (equal: pairs without any difference there)."""
    keys: dict[str, Callable[[Row], str | None]] = {
        "all": lambda row: "all", "procedure": lambda row: row.procedure, "skin": lambda row: row.skin}
    made: dict[str, dict[str, Any]] = {}
    for grouping in GROUPINGS:
        names = sorted({key for row in rows if (key := keys[grouping](row)) is not None})
        if names:
            made[grouping] = {name: of_group([r for r in rows if keys[grouping](r) == name]) for name in names}
    return made


def of_group(rows: Sequence[Row]) -> dict[str, Any]:
    """The numbers of one group."""
    result: dict[str, Any] = {"pictures": len(rows)}
    for metric in METRICS:
        by_zone = {zone: told for zone in ZONES if (told := statistics(rows, metric, zone)) is not None}
        if by_zone:
            result[metric] = by_zone
    sets = [row.compared.features for row in rows if row.compared.features is not None]
    if sets:
        gathered = Gathered(first=[s[0] for s in sets], second={
            zone: [s[1][zone] for s in sets if zone in s[1]] for zone in ZONES if any(zone in s[1] for s in sets)})
        size = len(sets[0][0])
        result["fid"] = {zone: {"value": value, "n": len(sets), "biased": len(sets) <= size}
                         for zone, value in gathered.fid().items()}
    return result


def statistics(rows: Sequence[Row], metric: str, zone: str) -> dict[str, float | int | None] | None:
    """Of one metric in one zone; None when no pair has it."""
    having = [row.compared for row in rows if zone in row.compared.values.get(metric, {})]
    if not having:
        return None
    values = np.array([v for c in having if (v := c.values[metric][zone]) is not None], float)
    equal = sum(zone in c.equal for c in having) if metric == "psnr_db" else 0
    if not len(values) and not equal:
        return None
    told: dict[str, float | int | None] = {"n": len(values)}
    if metric == "psnr_db":
        told["equal"] = equal
    for name, number in (("mean", np.mean), ("sd", np.std), ("low", np.min), ("high", np.max)):
        told[name] = float(number(values)) if len(values) else None
    return told
