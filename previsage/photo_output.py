"""The files of a photo's result. NAME is the photo's, the plan's and the mode's.

    NAME_after.png      the photo after the operation, its own size and colours, marked in a corner and signed
    NAME_pair.png       before and after, cut to the head, with a 10 mm bar
    NAME.json           angles, scale, steps, the guard's findings, notes
    NAME_details/       with `details`: raw, warp, mask, conditioning, both wireframes, landmarks.csv

Where the plan changes nothing, NAME_after.png is the photo's own pixels: nothing is simulated, nothing is marked.
"""

import csv
import datetime
import hashlib
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw

from core.errors import UsageError
from core.files import write_bytes, write_json
from core.landmarks import MEDIAPIPE478, Landmarks2D
from core.store import save_png
from previsage.photo import PhotoResult
from previsage.photo_study import tools
from previsage.photoreal_stage import cut, cut_box
from previsage.versions import code_version
from recon.one_photo import faces_in
from render.draw import PAPER, RED, font, marked, scaled, tagged
from render.mark import marked_corner
from render.wireframe import overlay
from synth.photo_file import FORMATS, PhotoFile, read_photo_file, write_photo_file
from synth.photo_file import in_srgb as converted
from synth.provenance import Origin, attest, export

CODE = ("core", "render", "synth", "deform3d", "recon/one_photo.py", "recon/detect.py", "previsage/photo.py",
        "previsage/photo_modes.py", "previsage/photo_study.py", "data/procedures", "data/flags.yaml", "data/models")
SIGNED = ("png", "jpeg")
"""Formats that carry their claim inside; the others have it in a file beside them."""
ENDINGS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "avif": ".avif", "heic": ".heic", "tiff": ".tif"}
FACES_PX = 1600
MARGIN = 0.35
"""The mark keeps so far off the face's outline, as a share of the face's size."""


def save_result(result: PhotoResult, folder: Path, form: str = "png", details: bool = False) -> list[Path]:
    """Write a result; the files. form: png (exact), `same` as the photo, or another of ENDINGS (these re-encode).

    UsageError: an unknown format.
    """
    ending = ENDINGS.get(result.photo.format if form == "same" else form)
    if ending is None:
        raise UsageError("photo_format", f"{form} is no format that photos are written in.",
                         f"Use one of same, {', '.join(ENDINGS)}.")
    name = name_of(result)
    origin = origin_of(result)
    files = [folder / f"{name}_after{ending}", folder / f"{name}_pair.png", folder / f"{name}.json"]
    notes = save_after(files[0], result, origin)
    export(files[1], pair_picture(result), origin)
    write_json(files[2], {**result.as_record(), "file": files[0].name, "file_notes": list(notes)})
    return [*files, *(save_details(result, folder / f"{name}_details") if details else [])]


def name_of(result: PhotoResult) -> str:
    """Photo, plan and mode."""
    return f"{Path(result.photo.name).stem}_{result.plan.id}_{result.mode}"


def save_after(path: Path, result: PhotoResult, origin: Origin) -> tuple[str, ...]:
    """The photo after; notes on what its format changed."""
    photo = result.photo
    if result.unchanged:
        return write_photo_file(path, result.output, photo)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    picture = marked_corner(result.output, around_face(result), f"{result.plan.id}, {result.mode}, {today}")
    grown = picture.shape != result.output.shape  # a strip below carries the mark
    alpha = None if photo.alpha is None or grown else photo.alpha
    if FORMATS[path.suffix] in SIGNED:
        export(path, picture, origin, profile=photo.profile, alpha=alpha)
        return ()
    notes = write_photo_file(path, picture, photo)
    attest(path, origin)
    return notes


def origin_of(result: PhotoResult) -> Origin:
    """What is signed: hashes and versions, never the person."""
    models = {str(k): str(v) for k, v in dict(result.ran.get("weights", {})).items()}
    return Origin(plan_id=result.plan.id, mode=result.mode, input_sha256=photo_sha256(result.photo),
                  code=code_version(*CODE), photoreal=result.shown, models=models, seed=result.ran.get("seed"),
                  guard=result.checks.as_record())


def photo_sha256(photo: PhotoFile) -> str:
    """Checksum of the photo's pixels and colours."""
    told = hashlib.sha256(repr(photo.picture.shape).encode())
    told.update(photo.picture.tobytes())
    told.update(photo.profile or b"")
    return told.hexdigest()


def around_face(result: PhotoResult) -> Bool[np.ndarray, "h w"]:
    """Pixels on which nothing is written: the face with hair and chin, generously."""
    height, width = result.photo.picture.shape[:2]
    points = result.landmarks_before[:468]
    hull = cv2.convexHull(np.rint(points).astype(np.int32))[:, 0]
    middle = hull.mean(0)
    grown = np.rint(middle + (1 + 2 * MARGIN) * (hull - middle)).astype(np.int32)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(mask, grown, 1)
    return mask > 0


def cells_of(result: PhotoResult) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"], float]:
    """Before and after cut to the head, in sRGB, at a cell's size; px per mm there."""
    box = cut_box(result.landmarks_before, (result.photo.picture.shape[1], result.photo.picture.shape[0]))
    beside = result.photo.picture if result.stand_in is None else result.stand_in[0]
    before, after = cut(beside, box), cut(result.output, box)
    scale = before.shape[0] / (box[3] - box[1])
    return in_srgb(before, result.photo), in_srgb(after, result.photo), result.px_per_mm * scale


def in_srgb(picture: UInt8[np.ndarray, "h w 3"], photo: PhotoFile) -> UInt8[np.ndarray, "h w 3"]:
    """A part of the photo for a page."""
    return picture if photo.profile is None else converted(Image.fromarray(picture), photo.profile)


def pair_picture(result: PhotoResult) -> UInt8[np.ndarray, "h w 3"]:
    """Before beside after."""
    before, after, px_per_mm = cells_of(result)
    kind = "" if result.shown else ": plain render"
    left = scaled(tagged(before, f"before{kind}"), px_per_mm)
    right = scaled(marked(tagged(after, f"after{kind}")), px_per_mm)
    return np.concatenate([left, np.full((left.shape[0], 4, 3), 255, np.uint8), right], 1)


def save_details(result: PhotoResult, folder: Path) -> list[Path]:
    """What a researcher wants to see."""
    pictures: dict[str, Any] = {
        "raw": result.raw, "warp": result.warp, "conditioning": result.conditioning,
        "mask": np.rint(255 * result.mask).astype(np.uint8)}
    for moment, points in (("before", result.landmarks_before), ("after", result.landmarks_after)):
        marks = Landmarks2D(scheme=MEDIAPIPE478, points=points, confidence=np.ones(478))
        base = result.photo.picture if moment == "before" else result.output
        pictures[f"wireframe_{moment}"] = overlay(base, marks)
    for name, picture in pictures.items():
        save_png(folder / f"{name}.png", picture)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["landmark", "x_before_px", "y_before_px", "x_after_px", "y_after_px"])
    for k, (a, b) in enumerate(zip(result.landmarks_before, result.landmarks_after, strict=True)):
        writer.writerow([k, *np.round([*a, *b], 3)])
    write_bytes(folder / "landmarks.csv", text.getvalue().encode())
    return [*(folder / f"{name}.png" for name in pictures), folder / "landmarks.csv"]


def save_faces(photo: Path, folder: Path) -> Path:
    """PHOTO_faces.png: the photo, small, with a number at every face, as `--face` counts them."""
    opened = read_photo_file(photo)
    srgb = opened.srgb()
    faces, _ = faces_in(srgb, tools().detector)
    height, width = srgb.shape[:2]
    shrink = min(1.0, FACES_PX / max(height, width))
    canvas = Image.fromarray(srgb).resize((round(width * shrink), round(height * shrink)), Image.Resampling.LANCZOS)
    for number, face in enumerate(faces, 1):
        low, high = (np.asarray(edge) * shrink for edge in (face.points_px[:468, :2].min(0),
                                                            face.points_px[:468, :2].max(0)))
        ImageDraw.Draw(canvas).rectangle([*low, *high], outline=RED, width=2)
        letters = int(np.clip(0.4 * (high[1] - low[1]), 14, 48))
        ImageDraw.Draw(canvas).text((float(low[0] + high[0]) / 2, float(low[1])), str(number), fill=PAPER,
                                    font=font(letters), anchor="md", stroke_width=2, stroke_fill=RED)
    path = folder / f"{photo.stem}_faces.png"
    save_png(path, np.asarray(canvas))
    return path
