"""Photoreal: a plan on the person's own frames, guarded and stored under `plans/<id>/photoreal/<mode>[_<band>]/`.

    <frame>_before.png, <frame>_after.png   the frame, and the same after the operation (marked as a simulation)
    <frame>_pair.png                        both side by side, cut to the head
    sheet.png, turn.mp4                     all views on a page with the change in mm; the turn, when frames are many
    photoreal.json                          frames, angles, findings of the guard, what ran

The generative modes start from warp3d's pictures, which are made and stored first: they are there whatever fails.
"""

import datetime
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.backends import resolve
from core.case import MANIFEST, Case
from core.errors import PrevisageError, UsageError
from core.evidence import BANDS, Band
from core.files import read_json, sha256, write_json
from core.prediction import Prediction
from core.progress import Progress, part, silent
from core.reconstruction import Reconstruction, View
from core.records import record
from core.store import save_png
from previsage.pictures import over
from previsage.recipe import load, predict, staged, stored_plan
from previsage.studio import Made, Studio, spread
from previsage.versions import code_version
from render.buffers import px_per_mm
from render.draw import marked, tagged
from render.heat import heat_map
from render.mark import marked_corner
from render.mix import of_vertices
from render.movie import write_movie
from render.sheets import Views, contact_sheet, pair
from render.wireframe import pinned
from synth.findings import Verdict
from synth.guard import guard, shown
from synth.likeness import embedder
from synth.metrics.networks import MetricNetwork
from synth.own_networks import identity_network, network_mark
from synth.provenance import Origin, attest, export
from synth.weights import weights_mark

Picture = UInt8[np.ndarray, "h w 3"]
Frames = int | Literal["all"]
MODES = {"warp3d": "previsage.photoreal_stage:warped", "img2img": "previsage.generative:painted",
         "controlnet": "previsage.generative:painted", "controlnet_ip": "previsage.generative:painted"}
"""How pictures are made, by name: fn(studio, made, mode, options, progress) -> (pictures by frame, what ran)."""
CODE = ("core", "render", "synth", "recon/light.py", "previsage/photoreal_stage.py", "previsage/studio.py",
        "previsage/generative.py", "data/prompts.yaml")
FRAMES = 5
"""As many as clinical photographs usually are: both profiles, both obliques, front."""
SHEET_FRAMES, TURN_FRAMES = 7, 8
"""At most so many views on the sheet; from so many frames on the turn is a movie."""
CELL_WH = (400, 500)
"""A view on the sheet, in the pair and in the movie."""
AROUND, CLOSEST = 1.7, 1.08
"""The cut's height over that of the face's landmarks; where the picture ends earlier, at least the second."""
BEYOND = 205
"""Grey of what lies beyond a picture's edge."""
TURN_FPS = 12
FRONTAL_DEG = 20.0
"""From the front what moves before the wall lies beside ears and hair, which the head does not know: the guard judges
the outline of heads that are turned farther, until it is known what it would refuse of frontal ones (docs/guard.md)."""


@record
class Photoreal:
    """Where the pictures are, and what is known of them. frames: a record of each, as in photoreal.json."""

    folder: Path
    mode: str
    band: str
    frames: tuple[dict[str, Any], ...]
    ran: dict[str, Any]
    files: tuple[Path, ...]


def photoreal(case: Path, plan_id: str | None = None, mode: str = "warp3d", frames: Frames = FRAMES,
              band: Band = "mean", folder: Path | None = None, progress: Progress = silent,
              **options: Any) -> Photoreal:
    """Draw a plan on the person's own frames; what is stored for the same inputs is not made again.

    plan_id: None when the case has one plan. frames: how many, spread over the turn, or `all`. folder: gets a copy.
    options: of a generative mode (`synth.diffusion.DiffusionOptions`), and `prompt`.
    UsageError: no such plan, mode, band or option. PrevisageError: weights are missing (warp3d's pictures are stored
    all the same), the case has no head.
    """
    make = resolve(MODES, mode, "mode")
    if band not in BANDS or not (frames == "all" or (isinstance(frames, int) and frames >= 1)):
        raise UsageError("bad_photoreal", f"There is no band {band!r}, or no {frames!r} frames.",
                         f"Bands: {', '.join(BANDS)}. Frames: a number from 1, or all.")
    if mode == "warp3d" and options:
        raise UsageError("bad_option", f"warp3d takes no {', '.join(options)}.", "These go with the generative modes.")
    this = Case.open(case)
    plan_id = only_plan(this) if plan_id is None else plan_id
    head = load(case)
    if mode != "warp3d":  # stored first, whatever comes of the rest
        photoreal(case, plan_id, "warp3d", frames, band, None, part(progress, 0.0, 0.2))
    prediction = predict(case, stored_plan(this, plan_id), part(progress, 0.0, 0.1))
    views = spread(head.views, len(head.views) if frames == "all" else frames)
    name = f"plans/{plan_id}/photoreal/{mode if band == 'mean' else f'{mode}_{band}'}"

    def work(target: Path) -> None:
        told = staged(part(progress, 0.1, 1.0), "Drawing the frames")
        draw(case, head, prediction, band, views, mode, make, options, target, told)

    this.run_stage(name, {"plan": this.stage_key(f"plans/{plan_id}"), "head": this.stage_key("recon"),
                          "capture": this.stage_key("capture"), "band": band, "mode": mode, "options": options,
                          "frames": [v.path for v in views], "code": code_version(*CODE),
                          "weights": {"identity": network_mark("identity"),
                                      "restore": network_mark(options["restore"]) if options.get("restore") else "",
                                      **({} if mode == "warp3d" else weights_mark())}}, work)
    stored = this.folder / name
    if folder is not None:
        shutil.copytree(stored, folder, ignore=shutil.ignore_patterns(MANIFEST), dirs_exist_ok=True)
    progress(1.0, "Done: the pictures are ready")
    return told_of(stored if folder is None else folder)


def told_of(folder: Path) -> Photoreal:
    """What a folder of photoreal pictures holds."""
    kept = read_json(folder / "photoreal.json")
    return Photoreal(folder=folder, mode=kept["mode"], band=kept["band"], frames=tuple(kept["frames"]),
                     ran=kept["ran"], files=tuple(sorted(p for p in folder.iterdir() if p.name != MANIFEST)))


def only_plan(case: Case) -> str:
    """The case's plan. UsageError: it has none, or several."""
    found = case.plan_ids()
    if len(found) != 1:
        hint = f"Name one with --plan: {', '.join(found)}." if found else "Make one with `previsage predict`."
        raise UsageError("which_plan", "The case has several plans." if found else "The case has no plan.", hint)
    return found[0]


def warped(studio: Studio, made: Sequence[Made], mode: str, options: dict[str, Any], progress: Progress) -> tuple[
        dict[str, Picture], dict[str, Any]]:
    """warp3d's pictures are made already."""
    return {one.name: one.picture for one in made}, {"mode": mode}


def draw(case: Path, head: Reconstruction, prediction: Prediction, band: Band, views: list[View], mode: str, make: Any,
         options: dict[str, Any], folder: Path, progress: Progress) -> None:
    """Make, check and write every picture."""
    moved_mm = prediction.total_mm(band)
    studio = Studio(case, head, moved_mm, [p["procedure"] for p in prediction.plan["procedures"]])
    if np.any(moved_mm):
        studio.gather_plate(progress)
    ran: dict[str, Any] = {}
    identity, why = identity_or_why()
    records, cells = [], {}
    for made, picture in pictures_of(studio, views, mode, make, options, ran, progress):
        seen = checked(studio, made, picture, mode, identity)
        records.append({**seen[1], "file": f"{made.name}_after.png"})
        save_png(folder / f"{made.name}_before.png", made.photographed)
        origin = origin_of(case, prediction, made, mode, ran, seen[1])
        after = made.dressed(seen[0])
        sealed(folder / f"{made.name}_after.png", after, studio, made, origin)
        cells[made.name] = cell(studio, made, after)
    page = origin_of(case, prediction, None, mode, ran, None)
    for name, view in cells.items():
        export(folder / f"{name}_pair.png", pair(view, name), page)
    few = [list(cells)[k] for k in np.unique(np.linspace(0, len(cells) - 1, SHEET_FRAMES).round().astype(int))]
    export(folder / "sheet.png", contact_sheet({n: cells[n] for n in few}, f"{prediction.plan['id']}, {mode}"), page)
    if len(cells) >= TURN_FRAMES:
        turn(folder / "turn.mp4", list(cells.values()))
        attest(folder / "turn.mp4", page)
    if why:
        ran["notes"] = [*ran.get("notes", []), why]
    write_json(folder / "photoreal.json", {"mode": mode, "band": band, "plan": prediction.plan["id"], "ran": ran,
                                           "light": studio.light is not None, "frames": records,
                                           "spectacles": studio.bespectacled,
                                           "backdrop_from_other_frames": studio.plate is not None})


def origin_of(case: Path, prediction: Prediction, made: Made | None, mode: str, ran: dict[str, Any],
              record: dict[str, Any] | None) -> Origin:
    """Where a picture comes from, to be signed; without a frame, of all frames together."""
    models = {str(name): str(mark) for name, mark in dict(ran.get("weights", {})).items()}
    return Origin(plan_id=str(prediction.plan["id"]), mode=mode, models=models, seed=ran.get("seed"),
                  input_sha256=Case(case).stage_key("capture") or "" if made is None else sha256(case / made.view.path),
                  code=code_version(*CODE), photoreal=record is None or bool(record["photoreal"]),
                  guard=None if record is None else record["guard"])


def sealed(path: Path, picture: Picture, studio: Studio, made: Made, origin: Origin) -> None:
    """Write a picture after the operation with its mark, off the head, and its signed record."""
    if made.seen is None:
        save_png(path, picture)
        return
    details = f"{origin.plan_id}, {origin.mode}, {datetime.datetime.now(datetime.UTC).date().isoformat()}"
    export(path, marked_corner(picture, studio.before(made.view.camera).covered, details), origin)


def pictures_of(studio: Studio, views: list[View], mode: str, make: Any, options: dict[str, Any],
                ran: dict[str, Any], progress: Progress) -> Iterator[tuple[Made, Picture]]:
    """Every frame with its picture; warp3d's one at a time, the generative modes' all together, for they agree."""
    if mode == "warp3d":
        ran["mode"] = mode
        for number, view in enumerate(views):
            progress(number / len(views), f"frame {number + 1} of {len(views)}")
            made = studio.made(view)
            yield made, made.picture
        return
    together = [studio.made(view) for view in views]
    pictures, what = make(studio, together, mode, options, progress)
    ran.update(what)
    yield from ((one, pictures[one.name]) for one in together)


def identity_or_why() -> tuple[MetricNetwork | None, str]:
    """The person's identity network, or None with the reason why it cannot be used; no reason where none was added."""
    try:
        return identity_network(), ""
    except PrevisageError as error:  # the pictures come all the same, and the guard says that likeness is not checked
        return None, f"The likeness was not checked: {error}"


def landmarks_px(studio: Studio, made: Made) -> Float[np.ndarray, "478 2"]:
    """Where the landmarks are in the frame, before the operation."""
    return made.view.camera.px_from_points(pinned(studio.head.mesh, studio.head.anatomy.pins478).points)


def checked(studio: Studio, made: Made, picture: Picture, mode: str, identity: MetricNetwork | None = None) -> tuple[
        Picture, dict[str, Any]]:
    """The picture that people see, after the guard, and the frame's record."""
    if made.seen is None:
        verdict = guard(made.frame, picture, None)
    else:
        verdict = guard(made.frame, picture, made.seen.correspondence, across_mm(studio, made),
                        made.picture if mode != "warp3d" else None,
                        made.light, None if identity is None else embedder(identity, landmarks_px(studio, made)),
                        made.drawn_px, before_wall(studio, made))
    plain = picture if verdict.passed else plain_render(studio, made)
    seen = shown(verdict, picture, plain, mode)
    return seen.picture, record_of(made, verdict, seen.photoreal, seen.label, seen.reason)


def before_wall(studio: Studio, made: Made) -> Bool[np.ndarray, "h w"] | None:
    """Who is seen in the one photo that is all, when an outline before the wall is looked at."""
    turned = abs(float(np.degrees(made.view.camera.head_angles_rad[0]))) > FRONTAL_DEG
    return studio.segment(made.frame) if studio.alone and turned else None


def across_mm(studio: Studio, made: Made) -> Float[np.ndarray, "a b"]:
    """x in the head frame of what each pixel of the window shows after: the patient's left or right."""
    assert made.seen is not None
    after, mesh = made.seen.after, studio.after.mesh
    return of_vertices(after.face.ravel(), after.bary.reshape(-1, 3), mesh.faces,
                       np.ascontiguousarray(mesh.vertices_mm[:, :1])).reshape(after.face.shape)


def record_of(made: Made, verdict: Verdict, photoreal: bool, label: str, reason: str) -> dict[str, Any]:
    """One frame in photoreal.json."""
    yaw, pitch, roll = np.degrees(made.view.camera.head_angles_rad).round(1).tolist()
    return {"frame": made.name, "source": made.view.source, "angles_deg": [yaw, pitch, roll], "photoreal": photoreal,
            "label": label, "reason": reason, "changes": made.seen is not None, "guard": verdict.as_record()}


def plain_render(studio: Studio, made: Made) -> Picture:
    """The textured head drawn over the frame, where the photoreal picture was refused."""
    return over(made.frame, studio.after, made.view.camera, studio.skin, studio.before)


def cell(studio: Studio, made: Made, after: Picture) -> Views:
    """A frame cut to the head, small, with its change in mm."""
    camera = made.view.camera
    fragments = studio.before(camera)
    change = heat_map(studio.before, camera, studio.displacement_mm, fragments=fragments)
    points = camera.px_from_points(studio.head.mesh.points(studio.head.anatomy.pin_points))
    box = cut_box(points[np.isfinite(points).all(1)], camera.size_wh)
    scale = CELL_WH[1] / (box[3] - box[1])
    return Views(before=cut(made.photographed, box), after=cut(after, box), difference=cut(change, box),
                 px_per_mm=px_per_mm(fragments, camera) * scale)


def cut_box(points_px: np.ndarray, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the cut around some points, in a cell's aspect.

    It stays within the picture; only where no cut of that aspect that holds all points does, it reaches beyond.
    """
    if not len(points_px):
        points_px = np.array([[0.0, 0.0], size_wh])
    low, high = points_px.min(0), points_px.max(0)
    aspect, size = CELL_WH[0] / CELL_WH[1], np.array(size_wh)
    height = AROUND * max(high[1] - low[1], (high[0] - low[0]) / aspect / 1.2, 8.0)
    least = CLOSEST * max(high[1] - low[1], (high[0] - low[0]) / aspect, 8.0)
    height = max(min(height, size[0] / aspect, size[1]), least)
    extent = np.array([height * aspect, height])
    corner = (low + high) / 2 - extent / 2
    corner = np.where(extent <= size, np.clip(corner, 0, np.maximum(size - extent, 0)), corner)
    left, top = np.rint(corner).astype(int).tolist()
    return left, top, left + round(extent[0]), top + round(extent[1])


def cut(picture: Picture, box: tuple[int, int, int, int]) -> UInt8[np.ndarray, "y x 3"]:
    """That part of the picture at a cell's size; beyond its edge an even grey."""
    left, top, right, bottom = box
    height, width = picture.shape[:2]
    inside = picture[max(top, 0):min(bottom, height), max(left, 0):min(right, width)]
    part = cv2.copyMakeBorder(np.ascontiguousarray(inside), max(-top, 0), max(bottom - height, 0), max(-left, 0),
                              max(right - width, 0), cv2.BORDER_CONSTANT, value=(BEYOND,) * 3)
    shrink = part.shape[0] > CELL_WH[1]
    return cv2.resize(part, CELL_WH, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)


def turn(path: Path, cells: list[Views]) -> None:
    """The movie of the turn, there and back: before beside after."""
    shown = [np.concatenate([tagged(v.before, "before"), marked(tagged(v.after, "after"))], 1) for v in cells]
    write_movie(path, shown + shown[-2:0:-1], (2 * CELL_WH[0], CELL_WH[1]), TURN_FPS)
