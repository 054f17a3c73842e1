"""Image metrics of folders: pair the pictures up, compare each pair, write one JSON and a plot per comparison.

    after against before   what changed: outside the mask nothing should
    after against truth    how wrong the prediction is, when the true after-pictures are known
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from core.errors import InputRefused, UsageError
from core.files import write_bytes, write_json
from core.ita import ita_class, ita_deg
from core.progress import Progress, silent
from core.records import record
from previsage.versions import installed
from synth.metrics.compare import METRICS, Tools, compare
from synth.metrics.networks import InputForm, load_network
from synth.metrics.plot import plot
from synth.metrics.summary import Row, summary

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif")
LOSSLESS = (".png", ".tif", ".tiff", ".bmp")
LOSSY_NOISE = 12 / 255
MOST_PX = 50_000_000
NEEDS = {
    "lpips": "LPIPS: no network was given (--lpips FILE: one that takes two pictures, -1..1)",
    "fid": "FID: no network was given (--fid FILE: Inception's pooled features)",
    "identity": "identity: no network was given (--identity FILE: a face recogniser, as ArcFace's ONNX)",
}
CHEEKS_AND_FOREHEAD = (50, 280, 151)
"""Of MediaPipe's 478: skin without hair, brows, lips or shadow of the nose."""


@record
class MetricsOptions:
    """Network files, and the form of their input. table: CSV with columns picture, procedure, skin."""

    lpips: Path | None = None
    fid: Path | None = None
    identity: Path | None = None
    lpips_form: InputForm = InputForm(side_px=None, low=-1.0, high=1.0)
    fid_form: InputForm = InputForm(side_px=299, low=-1.0, high=1.0)
    identity_form: InputForm = InputForm(side_px=112, low=-1.0, high=1.0)
    table: Path | None = None
    landmarks: bool = True


@record
class Item:
    """One after-picture and what belongs to it. name: its path in the folder, without the ending."""

    name: str
    procedure: str | None
    before: Path
    after: Path
    mask: Path | None
    truth: Path | None


def image_metrics(before: Path, after: Path, output: Path, masks: Path | None = None, truth: Path | None = None,
                  options: MetricsOptions | None = None, progress: Progress = silent) -> dict[str, Any]:
    """Compare all pairs; writes metrics.json and a plot per comparison into `output`, and returns the JSON.

    UsageError: a folder or file is missing. InputRefused: no pair can be compared. What cannot be computed, and
    pictures that cannot be compared, are named under `missing` and `skipped`.
    """
    options = options or MetricsOptions()
    items, skipped = pairs(before, after, masks, truth)
    told = table_of(options.table)
    tools = tools_of(options)
    rows: dict[str, list[Row]] = {"before": [], "truth": []}
    listed = []
    for number, item in enumerate(items):
        progress(number / len(items), f"comparing {item.name}")
        try:
            found = of_item(item, tools, told)
        except (InputRefused, ValueError) as error:
            skipped.append({"picture": item.name, "why": str(error)})
            continue
        for against, row in found.items():
            rows[against].append(row)
        listed.append(as_json(item, found))
    if not listed:
        raise InputRefused("nothing_compared", f"No pair could be compared. {skipped[0]['picture']}: "
                           f"{skipped[0]['why']}", "Pictures are paired by their names: `previsage metrics --help`.")
    summaries = {against: summary(made) for against, made in rows.items() if made}
    result: dict[str, Any] = {
        "version": installed("previsage") or "source", "before": str(before), "after": str(after),
        "masks": None if masks is None else str(masks), "truth": None if truth is None else str(truth),
        "networks": {name: getattr(options, name).name for name in NEEDS if getattr(options, name) is not None},
        "missing": missing(options, masks), "skipped": skipped, "pictures": listed, "summary": summaries}
    write_json(output / "metrics.json", result)
    files = [output / "metrics.json"]
    for against, told_of in summaries.items():
        files.append(output / f"after-against-{against}.png")
        write_bytes(files[-1], plot(told_of, f"after against {against}, {len(rows[against])} pictures"))
    progress(1.0, "done")
    return result | {"files": files}


def missing(options: MetricsOptions, masks: Path | None) -> list[str]:
    """What is not in the result, and what to give for it."""
    lines = [text for name, text in NEEDS.items() if getattr(options, name) is None]
    if masks is None:
        lines.append("zones: no masks were given (--masks DIR), so everything is over whole pictures")
    return lines


def pairs(before: Path, after: Path, masks: Path | None, truth: Path | None) -> tuple[
        list[Item], list[dict[str, str]]]:
    """Pictures of `after`, also one folder deep (the folder is the procedure), with their partners; who has none."""
    for folder in (before, after, *(f for f in (masks, truth) if f is not None)):
        if not folder.is_dir():
            raise UsageError("no_folder", f"There is no folder {folder}.", "Give folders of pictures.")
    items, alone = [], []
    for path in sorted(p for pattern in ("*", "*/*") for p in after.glob(pattern) if p.suffix.lower() in PICTURES):
        relative = path.relative_to(after).with_suffix("")
        partners = {what: partner(folder, relative) for what, folder in (
            ("before", before), ("mask", masks), ("truth", truth)) if folder is not None}
        lost = [what for what, found in partners.items() if found is None]
        if lost:
            alone.append({"picture": str(relative), "why": f"no {', no '.join(lost)} picture of that name"})
            continue
        items.append(Item(name=str(relative), procedure=relative.parent.name or None, after=path,
                          before=partners["before"] or path, mask=partners.get("mask"), truth=partners.get("truth")))
    if not items:
        raise InputRefused("no_pairs", f"No picture of {after} has its partner in " + ", ".join(
            str(f) for f in (before, masks, truth) if f is not None) + ".",
            "Partners have the same name: before/anna.png and after/anna.png, or after/rhinoplasty/anna.png.")
    return items, alone


def partner(folder: Path, relative: Path) -> Path | None:
    """The picture of that name, in the same sub-folder or at the top."""
    for name in (relative, Path(relative.name)):
        for suffix in PICTURES:
            for ending in (suffix, suffix.upper()):
                path = folder / name.parent / (name.name + ending)
                if path.is_file():
                    return path
    return None


def table_of(path: Path | None) -> dict[str, dict[str, str]]:
    """Rows of the table by picture. UsageError: no such file, or columns are missing."""
    if path is None:
        return {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("no_table", f"{path} cannot be read as a table.", "Give a CSV file in UTF-8.") from error
    if not rows or "picture" not in rows[0]:
        raise UsageError("bad_table", f"{path.name} has no column `picture`.",
                         "Columns: picture, and procedure or skin or both.")
    return {str(Path(row["picture"]).with_suffix("")): row for row in rows}


def tools_of(options: MetricsOptions) -> Tools:
    """The networks that were given, and the detector."""
    def network(name: str) -> Any:
        file = getattr(options, name)
        return None if file is None else load_network(file, getattr(options, f"{name}_form"))

    return Tools(detect=detector() if options.landmarks else None, lpips=network("lpips"), fid=network("fid"),
                 identity=network("identity"))


def detector() -> Callable[[UInt8[np.ndarray, "h w 3"]], Float[np.ndarray, "478 2"] | None]:
    """Landmarks of a picture's largest face; the last few pictures are remembered, since each is compared twice."""
    from recon.detect import Detector

    graph, seen = Detector(), dict[int, Any]()

    def detect(picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "478 2"] | None:
        key = hash(picture.tobytes())
        if key not in seen:
            face = graph.follow(picture, None)
            if len(seen) > 8:
                seen.clear()
            seen[key] = None if face is None else face.points_px[:, :2].astype(float)
        return seen[key]

    return detect


def of_item(item: Item, tools: Tools, told: dict[str, dict[str, str]]) -> dict[str, Row]:
    """The comparisons of one picture. InputRefused: a file cannot be read, sizes differ."""
    after, before = picture_of(item.after), picture_of(item.before)
    mask = None if item.mask is None else mask_of(item.mask)
    row = told.get(item.name) or told.get(Path(item.name).name) or {}
    points = None if tools.detect is None else tools.detect(before)
    skin = row.get("skin") or (None if points is None else skin_of(before, points))
    both = {"before": before} | ({} if item.truth is None else {"truth": picture_of(item.truth)})
    return {against: Row(name=item.name, procedure=row.get("procedure") or item.procedure, skin=skin,
                         compared=compare(first, after, mask, tools)) for against, first in both.items()}


def picture_of(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """An upright sRGB picture. InputRefused: it cannot be read, or is far too large."""
    from recon.photos import read_photo
    from recon.probe import Limits, sniff

    file = sniff(path)
    if file is None or file.kind != "photo":
        raise InputRefused("not_a_picture", f"{path.name} is no picture.", "Give PNG, JPEG, WebP, AVIF or HEIC.")
    return read_photo(file, Limits(photo_px=MOST_PX, photo_side_px=16), 1 << 20).picture


def mask_of(path: Path) -> Float[np.ndarray, "h w"]:
    """A mask, 0..1; of a lossy file the ends are straightened. InputRefused: it cannot be read."""
    mask = np.asarray(Image.fromarray(picture_of(path)).convert("L"), np.float64) / 255
    if path.suffix.lower() in LOSSLESS:
        return mask
    return np.clip((mask - LOSSY_NOISE) / (1 - 2 * LOSSY_NOISE), 0, 1)


def skin_of(picture: UInt8[np.ndarray, "h w 3"], points_px: Float[np.ndarray, "478 2"]) -> str | None:
    """ITA class of cheeks and forehead; None when they are not in the picture."""
    radius = max(2, round(0.07 * float(np.linalg.norm(points_px[263] - points_px[33]))))
    where = np.zeros(picture.shape[:2], np.uint8)
    for k in CHEEKS_AND_FOREHEAD:
        cv2.circle(where, (round(float(points_px[k, 0])), round(float(points_px[k, 1]))), radius, 1, -1)
    if not where.any():
        return None
    lab = cv2.cvtColor(picture[where > 0][None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    L, _, b = np.median(lab, axis=0)
    return ita_class(ita_deg(float(L), float(b)))


def as_json(item: Item, found: dict[str, Row]) -> dict[str, Any]:
    """One picture of the result."""
    first = next(iter(found.values()))
    return {"picture": item.name, "procedure": first.procedure, "skin": first.skin} | {
        against: {**{m: row.compared.values[m] for m in METRICS if m in row.compared.values},
                  "equal": list(row.compared.equal), "notes": list(row.compared.notes)}
        for against, row in found.items()}
