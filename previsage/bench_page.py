"""The tables of a benchmark: one list of columns and one of bars, for the terminal and for the Markdown page."""

import json
import math
import textwrap
from typing import Any

from core.records import record

Row = dict[str, Any]


@record
class Column:
    """key: in a row. title: with its unit. form: of the number."""

    key: str
    title: str
    form: str = ".2f"


ERRORS = (Column(key="shape_mm", title="shape, mm"), Column(key="metric_mm", title="metric, mm"),
          Column(key="nose_mm", title="nose, mm"), Column(key="chin_mm", title="chin, mm"),
          Column(key="landmark_mm", title="inner landmarks, mm"))
SIZE = (Column(key="scale_percent", title="scale, %", form="+.1f"),
        Column(key="interval_percent", title="stated 95 %, ± %", form=".1f"),
        Column(key="interval_holds", title="size in it"),
        Column(key="coverage_shape_percent", title="coverage shape, %", form=".0f"),
        Column(key="coverage_metric_percent", title="coverage metric, %", form=".0f"))
CAMERAS = (Column(key="rotation_median_deg", title="rotation, °"), Column(key="rotation_max_deg", title="largest, °"),
           Column(key="centre_mm", title="centre, mm"),
           Column(key="centres_held_percent", title="centres in stated 95 %, %", form=".0f"),
           Column(key="focal_percent", title="focal, %", form="+.1f"),
           Column(key="reprojection_px", title="reproj., px"))
COST = (Column(key="views", title="views", form="d"), Column(key="frames", title="frames", form="d"),
        Column(key="wall_s", title="wall, s", form=".0f"), Column(key="cpu_s", title="CPU, s", form=".0f"),
        Column(key="peak_gb", title="peak, GB"), Column(key="load_before", title="load before", form=".1f"),
        Column(key="load_after", title="after", form=".1f"))
TABLES = (("Errors", ERRORS), ("Size and stated uncertainty", SIZE), ("Cameras", CAMERAS), ("Cost", COST))
AT_LEAST = {"coverage_shape_percent", "coverage_metric_percent", "centres_held_percent"}
FAST: dict[str, float | bool] = {"shape_mm": 1.0, "wall_s": 12.0, "peak_gb": 3.0}
FULL: dict[str, float | bool] = {
    "shape_mm": 0.25, "nose_mm": 0.35, "chin_mm": 0.30, "landmark_mm": 1.8, "metric_mm": 0.8, "scale_percent": 2.5,
    "rotation_median_deg": 0.4, "centre_mm": 1.5, "coverage_shape_percent": 90.0, "coverage_metric_percent": 90.0,
    "centres_held_percent": 90.0, "interval_holds": True, "wall_s": 75.0, "peak_gb": 3.0}
TYPED: dict[str, float | bool] = {"metric_mm": 0.4, "scale_percent": 1.0}
"""Bars: at most this much (in absolute value), at least for `AT_LEAST`; `TYPED`: with a typed distance."""


def bars(row: Row) -> dict[str, float | bool]:
    """The bars of a row's setting."""
    return FAST if row["quality"] == "fast" else {**FULL, **(TYPED if row["typed_ipd"] else {})}


def missed(row: Row) -> list[str]:
    """The bars that a row was measured against and does not reach."""
    return [key for key, bar in bars(row).items() if row.get(key) is not None and not reaches(key, row[key], bar)]


def reaches(key: str, value: float | bool, bar: float | bool) -> bool:
    """Whether a value is within its bar."""
    return value >= bar if key in AT_LEAST or bar is True else abs(value) <= bar


def setting(row: Row) -> str:
    """How the capture was reconstructed."""
    typed = f", IPD {row['ipd_mm']:.1f}" if row.get("ipd_mm") else ", IPD" if row["typed_ipd"] else ""
    return row["quality"] + typed


def cell(row: Row, column: Column) -> str:
    """A number as printed; nothing where it was not measured."""
    value = row.get(column.key)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None or not math.isfinite(value) else format(value, column.form)


def bar_cell(kind: Row, column: Column) -> str:
    """A bar as printed under its column's title."""
    bar = bars(kind).get(column.key)
    if bar is None or bar is True:
        return "" if bar is None else "yes"
    return f"{'≥' if column.key in AT_LEAST else '≤'} {bar:g}"


def kinds(rows: list[Row], columns: tuple[Column, ...]) -> list[tuple[str, Row]]:
    """The settings among the rows that have a bar in these columns, each with the name of its bars."""
    found = {(row["quality"], row["typed_ipd"]): {"quality": row["quality"], "typed_ipd": row["typed_ipd"]}
             for row in rows}
    return [(f"bar, {kind['quality']}{', IPD typed' if kind['typed_ipd'] else ''}", kind) for kind in found.values()
            if any(bar_cell(kind, column) for column in columns)]


def failures(rows: list[Row]) -> list[str]:
    """What did not finish, and why."""
    return [f"{row['capture']} ({setting(row)}) {row['state']}: {row['reason']}" for row in rows
            if row["state"] != "done"]


def page(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["# Reconstruction against truth", "", *(paragraph(text) for text in PROSE)]
    for title, columns in TABLES:
        lines += [f"## {title}", "", *table(rows, columns), ""]
    lines += ["## Seconds per stage", "", *stages(rows), ""]
    if failed := failures(rows):
        lines += ["## Not finished", "", *(f"- {text}" for text in failed), ""]
    lines += ["## What ran", "", *ran(rows)]
    return "\n".join(lines) + "\n"


PROSE = (
    "Written by `previsage bench recon`: each capture is filmed from a head whose surface is known, reconstructed at "
    "the command line, and scored against that surface. Bold: beyond its bar. Empty: not measured.",
    "*Shape* and *metric* are mean distances from the true face to the found one after a rigid alignment with and "
    "without scaling; *nose* and *chin* are the shape error within 25 mm of the nose tip and the chin; *inner "
    "landmarks* is the median distance between true and found landmarks of lips, eyes, nose and brows. A positive "
    "scale error means the head came out too large. *Stated* is the 95 % interval that the reconstruction gives for "
    "its lengths, *size in it* whether the truth lies there. *Coverage* is the share of the face's vertices whose "
    "distance from the true surface is within 1.96 of the standard deviations stated for them: of the shape alone "
    "after the alignment with scaling, and of the whole (size included) after the one without.",
    "*Rotation* (median and largest over the views) and *centre* (median) compare each view's camera with the camera "
    "of its frame, after the head was laid on the true one by the alignment with scaling. *Wall*, *CPU* and *peak* are "
    "of the whole process: the peak is the resident memory of the largest process in its tree. *Load* is the machine's "
    "one-minute load average; above 1 before the run, the wall time includes waiting for other work and decides "
    "nothing.")


def paragraph(text: str) -> str:
    """A paragraph in lines of at most 120 characters, and the empty line after it."""
    return textwrap.fill(text, 120, break_on_hyphens=False) + "\n"


def markdown(names: list[str], lines: list[list[str]], left: int = 1) -> list[str]:
    """A Markdown table whose columns after the first `left` are flush right."""
    rule = ["---"] * left + ["---:"] * (len(names) - left)
    return ["| " + " | ".join(line) + " |" for line in (names, rule, *lines)]


def table(rows: list[Row], columns: tuple[Column, ...]) -> list[str]:
    """The bars, then one line per row."""
    lines = [[f"*{name}*", "", *(f"*{text}*" if (text := bar_cell(kind, c)) else "" for c in columns)]
             for name, kind in kinds(rows, columns)]
    for row in rows:
        cells = [f"**{text}**" if c.key in missed(row) and (text := cell(row, c)) else cell(row, c) for c in columns]
        if row["state"] != "done":
            cells[0] = cells[0] or f"**{row['state']}**"
        lines.append([row["capture"], setting(row), *cells])
    return markdown(["capture", "how", *(c.title for c in columns)], lines, 2)


def stages(rows: list[Row]) -> list[str]:
    """Seconds of every stage, one line per row."""
    finished = [row for row in rows if row.get("seconds")]
    names = list(dict.fromkeys(name for row in finished for name in row["seconds"]))
    return markdown(["capture", "how", *names], [
        [row["capture"], setting(row), *(f"{row['seconds'][n]:.1f}" if n in row["seconds"] else "" for n in names)]
        for row in finished], 2)


def ran(rows: list[Row]) -> list[str]:
    """Every run once: the rows it made, the command, machine and versions; and what each head was made by."""
    runs: dict[str, list[Row]] = {}
    for row in rows:
        runs.setdefault(json.dumps(row["run"], sort_keys=True), []).append(row)
    lines = []
    for made in runs.values():
        run = made[0]["run"]
        lines += [f"- `{run['command']}` at commit {run['commit']}, {run['when']}", f"  - {run['hardware']}",
                  "  - " + ", ".join(f"{name} {version}" for name, version in run["versions"].items())]
        lines += [f"  - {row['capture']}, {setting(row)}: " + "; ".join(f"{k}: {v}" for k, v in row["what_ran"].items())
                  for row in made if row.get("what_ran")]
    return lines
