"""The command `photo`: before and after from one photo, a folder of photos, or a set of one person."""

import dataclasses
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import InputRefused, PrevisageError, UsageError
from core.progress import Progress, part
from previsage.options import IPD_MM
from viewer.common import Band, Json
from viewer.photoreal_cli import Device
from viewer.plans import plan_from
from viewer.shown import SIMULATION
from viewer.terminal import current, say, table

if TYPE_CHECKING:
    from core.plan import Plan
    from previsage.photo import PhotoResult
    from previsage.photo_study import Study
    from previsage.photo_visit import Visit

INTENSITY = 55.0
PAINTED = ("img2img", "controlnet", "controlnet_ip")


class PhotoMode(StrEnum):
    """How the after is made."""

    tps = "tps"
    warp3d = "warp3d"
    img2img = "img2img"
    controlnet = "controlnet"
    controlnet_ip = "controlnet_ip"


class Form(StrEnum):
    """Of the pictures written."""

    png = "png"
    same = "same"
    jpeg = "jpeg"
    webp = "webp"
    avif = "avif"
    heic = "heic"
    tiff = "tiff"


def photo(
    inputs: Annotated[list[Path], typer.Argument(metavar="PHOTO... | FOLDER", help="Photos, or a folder of them.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where to write.")],
    procedure: Annotated[list[str] | None, typer.Option(
        metavar="NAME", help="See `previsage procedures`; repeat it for several at once.")] = None,
    intensity: Annotated[float | None, typer.Option(
        min=0, max=100, metavar="0..100", help=f"Per cent of the maximum; {INTENSITY:g} when neither this nor a step "
        "is given.")] = None,
    step: Annotated[list[str] | None, typer.Option(
        metavar="NAME=VALUE", help="A step's value in its own unit (mm, degrees, percent); NAME.left= or NAME.right= "
        "for one side.")] = None,
    side: Annotated[str | None, typer.Option(metavar="left|right", help="Only this side, of steps with sides.")] = None,
    flag: Annotated[list[str] | None, typer.Option(
        metavar="NAME[:SIDE[:lock]]", help="A finding of the person (`previsage procedures --flags`).")] = None,
    plan: Annotated[Path | None, typer.Option(metavar="FILE", help="A plan as YAML or JSON, instead.")] = None,
    plan_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Name of the plan, in the files' names.")]
    = None,
    mode: Annotated[PhotoMode, typer.Option(
        help="tps: flat, from the landmarks alone, in a moment. warp3d: a head fitted to the photo, which turns, hides "
        "and shades. The others paint what changes anew, with weights that you add (`previsage models`).")]
    = PhotoMode.warp3d,
    all_: Annotated[bool, typer.Option("--all", help="Every procedure, side by side.")] = False,
    sweep: Annotated[int | None, typer.Option(
        min=2, max=60, metavar="N", help="N pictures from 0 to 100 per cent: a page, a movie and a GIF.")] = None,
    visit: Annotated[bool, typer.Option(
        "--visit", help="The photos show one person from several sides: one head drives all, and the missing views are "
        "named.")] = False,
    face: Annotated[int | None, typer.Option(
        min=1, metavar="N", help="Which face, counted from the left, when there are several.")] = None,
    ipd_mm: Annotated[float | None, typer.Option(
        "--ipd-mm", metavar="X", help=f"Distance between the pupils, {IPD_MM[0]:g} to {IPD_MM[1]:g} mm; without it "
        "the iris and the usual size of heads give the millimetres.")] = None,
    band: Annotated[Band, typer.Option(help="Where tissue responds least, on average, or most.")] = Band.mean,
    form: Annotated[Form | None, typer.Option(
        "--format", help="png (what is written without this) keeps every pixel that does not change; `same` is the "
        "photo's own format, which encodes all of it anew. With --all and --sweep: each picture's own file, too.")]
    = None,
    details: Annotated[bool, typer.Option(
        "--details", help="Also the mask, the control picture, the wireframes and the landmarks; with --all and "
        "--sweep of each picture.")] = False,
    symmetry: Annotated[bool, typer.Option(
        "--symmetry", help="Also: left against right in mm, the head's pose removed; before and after. With --visit "
        "the cheeks, too.")] = False,
    skin_tone: Annotated[bool, typer.Option(
        "--skin-tone", help="Also: the skin's tone (ITA) with its interval; no Fitzpatrick type.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Painting modes: the same seed paints the same.")] = None,
    strength: Annotated[float | None, typer.Option(min=0.05, max=1, help="Painting modes: how much is new.")] = None,
    prompt: Annotated[str | None, typer.Option(metavar="WORDS", help="Painting modes: instead of the plan's own.")]
    = None,
    steps: Annotated[int | None, typer.Option(min=1, max=100, help="Painting modes: of the whole schedule.")] = None,
    device: Annotated[Device | None, typer.Option(help="Painting modes: where.")] = None,
    json_: Json = False,
) -> None:
    """Before and after from one photo: no film, no 3D case, seconds.

    Distances are millimetres of the person's own face, found by the iris and a fitted head. A face that is turned hides
    what it hides: a plan that this photo cannot show is refused, with the reason. A film shows more (`previsage
    reconstruct`). A folder is worked through, goes on where it was stopped, and gets one photos.csv.

    \b
      previsage photo anna.jpg --procedure rhinoplasty -o out
      previsage photo anna.jpg --procedure brow_lift --intensity 80 --mode tps -o out
      previsage photo anna.jpg --procedure rhinoplasty --sweep 9 -o out
      previsage photo anna.jpg --all -o out
      previsage photo anna.jpg --symmetry --skin-tone -o out
      previsage photo front.jpg left34.jpg left.jpg --visit --procedure mentoplasty -o out
      previsage photo photos/ --procedure rhinoplasty --mode tps -o out
    """
    given = {"seed": seed, "strength": strength, "prompt": prompt, "steps": steps,
             "device": None if device is None else device.value}
    options = {k: v for k, v in given.items() if v is not None}
    check_kinds(all_, sweep, visit, face, procedure, plan)
    if visit and skin_tone:
        raise UsageError("usage", "The skin's tone is measured in one photo.", "Leave --visit out.")
    from previsage.photo_batch import photos_in

    photos = photos_in(inputs)
    work = Work(output=output, mode=mode.value, band=band.value, face=face, ipd_mm=ipd_mm,
                form=(form or Form.png).value, details=details, each=details or form is not None, options=options,
                all=all_, symmetry=symmetry, skin_tone=skin_tone)
    percent = INTENSITY
    if all_:
        wanted, percent = None, INTENSITY if intensity is None else intensity
    elif (symmetry or skin_tone) and not procedure and plan is None and not visit:
        wanted = None
    else:
        wanted = plan_from(procedure or [], intensity, step or [], plan, plan_id, INTENSITY, side, flag or [])
    if wanted is None and not all_ and (len(photos) > 1 or inputs[0].is_dir()):
        raise UsageError("usage", "Measures alone are taken of one photo.", "Give one photo, or a --procedure.")
    with current.get().progress() as progress:
        if visit:
            shown_visit(work, photos, wanted, progress)
        elif len(photos) > 1 or inputs[0].is_dir():
            shown_batch(work, photos, wanted, percent, sweep, progress)
        else:
            shown_one(work, photos[0], wanted, percent, sweep, progress)


@dataclasses.dataclass(frozen=True)
class Work:
    """What all photos share."""

    output: Path
    mode: str
    band: Any
    face: int | None
    ipd_mm: float | None
    form: str
    details: bool
    each: bool
    options: dict[str, Any]
    all: bool
    symmetry: bool
    skin_tone: bool


def check_kinds(all_: bool, sweep: int | None, visit: bool, face: int | None, procedure: list[str] | None,
                plan: Path | None) -> None:
    """UsageError: options that do not go together."""
    if sum([all_, sweep is not None, visit]) > 1:
        raise UsageError("usage", "--all, --sweep and --visit do not go together.", "Give one of them.")
    if all_ and (procedure or plan):
        raise UsageError("usage", "--all takes every procedure.", "Leave --procedure and --plan out.")
    if sweep is not None and (plan is not None or len(procedure or []) != 1):
        raise UsageError("usage", "--sweep goes from 0 to 100 per cent of one procedure.", "Give one --procedure.")
    if visit and face is not None:
        raise UsageError("usage", "--visit takes photos of one person alone.", "Leave --face out.")


@dataclasses.dataclass
class Made:
    """What came of one photo: results, files, the measures as records, and lines about them."""

    results: list["PhotoResult"]
    files: list[Path]
    measures: dict[str, Any]
    lines: list[str]


def made_from(work: Work, photo_: Path, folder: Path, plan: "Plan | None", percent: float, sweep: int | None,
              progress: Progress) -> Made:
    """All that is wanted of one photo. InputRefused: also when there are several faces; then a picture numbers them."""
    from previsage.photo import begin
    from previsage.photo_sheets import every, save_each, save_every, save_sweep
    from previsage.photo_sheets import sweep as swept

    try:
        study = begin(photo_, work.face, work.ipd_mm)
    except InputRefused as error:
        if error.code == "which_face":
            from previsage.photo_output import save_faces

            told = save_faces(photo_, folder)
            raise InputRefused(error.code, error.message, f"{error.hint} {told} shows the numbers.") from error
        raise
    made = Made(results=[], files=[], measures={}, lines=[])
    if work.all:
        found = every(study, percent, work.mode, work.band, progress, **work.options)
        made.files = save_every(found, study, folder, percent, work.mode)
        made.results = [r for r in found.values() if not isinstance(r, str)]
    elif plan is not None and sweep is not None:
        made.results = swept(study, plan.procedures[0].procedure, sweep, work.mode, work.band, progress,
                             **work.options)
        made.files = save_sweep(made.results, folder, f"{Path(study.photo.name).stem}_{plan.id}_{work.mode}")
    elif plan is not None:
        made.results, made.files = single(work, study, folder, plan, progress)
    if work.each and (work.all or sweep is not None):
        made.files += save_each(made.results, folder, work.form, work.details)
    measure(work, study, made.results[-1] if plan is not None and made.results else None, folder, made)
    return made


def single(work: Work, study: "Study", folder: Path, plan: "Plan", progress: Progress) -> tuple[list["PhotoResult"],
                                                                                                list[Path]]:
    """One plan on one photo; painting leaves the bent photo whatever becomes of it."""
    from previsage.photo import carried_out
    from previsage.photo_output import save_result

    first: list[Path] = []
    if work.mode in PAINTED:
        first = save_result(carried_out(study, plan, "warp3d", work.band, part(progress, 0.0, 0.2)), folder, work.form)
    try:
        result = carried_out(study, plan, work.mode, work.band, part(progress, 0.2 if first else 0.0, 1.0),
                             **work.options)
    except PrevisageError as error:
        if first:
            error.hint = f"{error.hint} The photo bent by warp3d is {first[0]}."
        raise
    return [result], [*first, *save_result(result, folder, work.form, work.details)]


def measure(work: Work, study: "Study", result: "PhotoResult | None", folder: Path, made: Made) -> None:
    """Symmetry and skin tone, where they are wanted."""
    from previsage.photo_measures import save_symmetry, save_tone

    if work.symmetry:
        path, made.measures["symmetry"], lines = save_symmetry(study, result, folder)
        made.files.append(path)
        made.lines += lines
    if work.skin_tone:
        drawn, made.measures["skin_tone"], lines = save_tone(study, folder)
        made.files += [drawn] if drawn is not None else []
        made.lines += lines


def shown_one(work: Work, photo_: Path, plan: "Plan | None", percent: float, sweep: int | None,
              progress: Progress) -> None:
    """One photo, and what of it."""
    made = made_from(work, photo_, work.output, plan, percent, sweep, progress)
    alone = plan is not None and sweep is None
    record = {**(made.results[-1].as_record() if alone else {"photo": photo_.name}), **made.measures,
              "files": made.files}
    if not alone:
        record["results"] = [r.as_record() for r in made.results]
    current.get().result(record, lambda: told(made, alone))


def told(made: Made, alone: bool) -> None:
    """What came of a photo, in words."""
    if made.results:
        in_words(made.results[-1], alone)
    for line in made.lines:
        say(line)
    for file in made.files:
        say(f"Written   {file}")
    if made.results:
        say(SIMULATION)


def in_words(result: "PhotoResult", alone: bool) -> None:
    """Pose, scale, steps, checks and notes."""
    yaw, pitch, roll = result.angles_deg
    say(f"Photo     {result.photo.name}: {result.view} (turned {yaw:+.0f}°, nodding {pitch:+.0f}°, "
        f"leaning {roll:+.0f}°)")
    say(f"Scale     {result.px_per_mm:.2f} px per mm, from {result.scale.source.replace('+', ' and ')}: good to "
        f"±{result.scale.interval95_percent:.0f} % (95 %)")
    if not alone:
        return
    rows = zip(result.prediction.step_names, result.prediction.step_labels, result.prediction.step_values,
               result.prediction.step_units, strict=True)
    table("", ["step", "", "value", ""], [[n, la, f"{v:+.2f}", u] for n, la, v, u in rows if v])
    for check in result.checks.checks:
        if check.status != "not checked":
            say(f"{'Check' if check.status == 'passed' else 'FAILED' if check.status == 'failed' else 'Open':<9} "
                f"{check.name}: {check.sentence}")
    for coupling in result.prediction.couplings:
        say(f"          {coupling.in_words()}")
    if not result.shown:
        say(f"Plain     The plain render is shown instead: {result.reason}")
    for note in (*result.notes, *result.prediction.warnings):
        say(f"Note      {note}")


def shown_batch(work: Work, photos: list[Path], plan: "Plan | None", percent: float, sweep: int | None,
                progress: Progress) -> None:
    """A folder."""
    from previsage.photo_batch import batch

    def make(photo_: Path, folder: Path, told_: Progress) -> list["PhotoResult"]:
        return made_from(work, photo_, folder, plan, percent, sweep, told_).results

    key = {"plan": None if plan is None else plan.model_dump(mode="json"), "percent": percent, "sweep": sweep,
           **{k: v for k, v in dataclasses.asdict(work).items() if k != "output"}}
    rows = batch(photos, work.output, make, key, progress)
    sheet = work.output / "photos.csv"
    done = [r for r in rows if r["outcome"] in ("done", "plain render")]
    current.get().result({"photos": rows, "csv": sheet, "done": len(done)}, lambda: batch_in_words(rows, sheet))
    if not done:
        raise typer.Exit(3)


def batch_in_words(rows: list[dict[str, Any]], sheet: Path) -> None:
    """A line a photo."""
    table("", ["photo", "outcome", "view", "", ""],
          [[r["photo"], r["outcome"], str(r["view"]), str(r["reason"]), str(r["what_to_do"])] for r in rows])
    count: Callable[[str], int] = lambda outcome: sum(r["outcome"] == outcome for r in rows)  # noqa: E731
    say(f"{count('done')} done, {count('plain render')} as plain render, {count('refused')} refused, "
        f"{count('failed')} failed.")
    say(f"Written   {sheet}")
    say(SIMULATION)


def shown_visit(work: Work, photos: list[Path], plan: "Plan | None", progress: Progress) -> None:
    """A set of one person."""
    from previsage.photo_visit import save_visit
    from previsage.photo_visit import visit as visited

    assert plan is not None
    made = visited(photos, plan, work.mode, work.band, work.ipd_mm, progress, **work.options)
    files = save_visit(made, plan, work.mode, work.output, work.form, work.details)
    measures: dict[str, Any] = {}
    lines: list[str] = []
    if work.symmetry:
        from previsage.photo_measures import save_visit_symmetry

        path, measures["symmetry"], lines = save_visit_symmetry(made, work.output)
        files.append(path)
    current.get().result({**made.as_record(), **measures, "files": files}, lambda: visit_in_words(made, files, lines))


def visit_in_words(made: "Visit", files: list[Path], lines: list[str]) -> None:
    """The verdict of each photo, what is missing, what was written."""
    table("", ["photo", "view", "verdict", ""],
          [[p.photo.name, p.verdict.view if p.verdict else "", p.verdict.level if p.verdict else "red",
            p.reason or (p.verdict.sentence if p.verdict else "")] for p in made.photos])
    if made.missing:
        say(f"Missing   {', '.join(made.missing)}")
    for line in (*(f"Note      {note}" for note in made.notes), *lines):
        say(line)
    for file in files:
        say(f"Written   {file}")
    say(SIMULATION)
