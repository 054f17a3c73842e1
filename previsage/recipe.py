"""The recipe: how the stages make a case, in order. No arithmetic here.

    capture/      recon.intake          video or photos -> chosen frames, landmarks, verdict
    recon/        recon.head            capture -> head in millimetres, with skin        (render lends its rasteriser)
    plans/<id>/   deform3d, render      head + plan -> displacement, pictures

A stage runs again only when its inputs, its options or the code behind it changed; what is finished is kept when a
later stage fails or is interrupted. One process may write a case at a time (`previsage.job.working_on`).
"""

import contextlib
import dataclasses
import functools
import importlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from core.capture import Capture
from core.case import MANIFEST, Case
from core.errors import UsageError
from core.evidence import BANDS, Band
from core.files import digest, read_json, write_json
from core.flag import ClinicalFlag
from core.plan import Plan
from core.prediction import Prediction
from core.procedure import Procedure
from core.progress import Progress, part, silent
from core.reconstruction import Reconstruction
from core.store import load_prediction, load_reconstruction, save_prediction, save_reconstruction
from previsage.calm import one_thread
from previsage.options import ReconstructOptions
from previsage.rasterizer import OURS, differentiable, rasterizer, rasterizer_name
from previsage.versions import code_version, versions

Views = Literal["standard", "captured", "turntable"]
DEFAULTS = ReconstructOptions()
CAPTURE_CODE = ("core", "recon")
HEAD_CODE = (*CAPTURE_CODE, "render", "data/models")
PLAN_CODE = ("core", "deform3d", "render", "data/procedures", "data/flags.yaml")


@one_thread()
def reconstruct(inputs: Sequence[Path], case: Path, options: ReconstructOptions = DEFAULTS,
                progress: Progress = silent) -> Reconstruction:
    """Make the head of a case from a video, photos or a folder of photos; plans that the case has are predicted anew.

    InputRefused (nothing is left behind): no head can come of these files, or the folder is not a case's.
    UsageError: an unknown head model or rasteriser. PrevisageError: the disk is full, a file cannot be written.
    """
    from recon.capture_folder import load_capture
    from recon.intake import describe_inputs, take_in
    from recon.models import load_model, model_mark

    load_model(options.model)
    if rasterizer_name() != OURS:
        rasterizer()  # what is missing is said before the work begins
    see = differentiable() if options.photometric else None
    given = describe_inputs(inputs)
    with opened(case) as this:
        def capture(folder: Path) -> None:
            started = time.perf_counter()
            with loading(rasterizer, functools.partial(importlib.import_module, "recon.head")):
                take_in(inputs, folder, progress=staged(part(progress, 0.0, 0.5)))
            write_json(folder / "seconds.json", {"capture": round(time.perf_counter() - started, 3)})

        def head(folder: Path) -> None:
            taken = load_capture(this.folder / "capture")
            save_reconstruction(folder, fitted(taken, options, staged(part(progress, 0.5, 0.95)), see))

        this.run_stage("capture", {"files": given, "code": code_version(*CAPTURE_CODE)}, capture)
        this.run_stage("recon", {"capture": this.stage_key("capture"), "options": dataclasses.asdict(options),
                                 "model": model_mark(options.model), "rasterizer": rasterizer_name(),
                                 "code": code_version(*HEAD_CODE)}, head)
        for plan_id in this.plan_ids():
            predict(this.folder, stored_plan(this, plan_id), staged(part(progress, 0.95, 1.0)))
    progress(1.0, "Done: the head is ready")
    return load(case)


@one_thread()
def predict(case: Path, plan: Plan, progress: Progress = silent) -> Prediction:
    """Predict a plan on the case's head and draw its standard views, into `plans/<id>/`.

    UsageError: an unknown procedure or step, a value beyond its clamp. PrevisageError: the case has no head.
    """
    from deform3d import catalogue, planned
    from deform3d import clinical_flags as known_flags
    from deform3d import predict as displace
    from previsage.pictures import standard

    planned(plan, catalogue(), known_flags())
    this = Case.open(case)
    head = load(case)

    def work(folder: Path) -> None:
        prediction = displace(head.mesh, head.anatomy, plan, catalogue(),
                              progress=staged(part(progress, 0.0, 0.4), "Moving the skin"))
        save_prediction(folder, head, prediction)
        standard(head, prediction, folder / "views", staged(part(progress, 0.4, 1.0), "Drawing the views"))

    this.sweep()
    used = {p.procedure: digest(catalogue()[p.procedure].model_dump(mode="json")) for p in plan.procedures}
    this.run_stage(f"plans/{plan.id}", {"plan": plan.model_dump(mode="json"), "procedures": used,
                                        "head": this.stage_key("recon"),
                                        "code": code_version(*PLAN_CODE)}, work)
    progress(1.0, "Done: the prediction is ready")
    return load_prediction(this.plan(plan.id))


def render_views(case: Path, plan_id: str | None = None, views: Views = "standard", folder: Path | None = None,
                 progress: Progress = silent, band: Band = "mean", months: float | None = None) -> list[Path]:
    """Draw the head of a case, or a plan's before and after; the files written.

    views: `standard` (the clinical views), `captured` (over the person's own pictures), `turntable` (a movie).
    folder: where to write; without it into the case, beside the head or the plan. band: the result where tissue
    responds least or most. months: with the swelling so long after the operation.
    UsageError: no such plan, unknown views, a band or a time without a plan. PrevisageError: the case has no head.
    """
    from previsage import pictures

    draw: dict[str, Callable[..., list[Path]]] = {
        "standard": pictures.standard, "turntable": pictures.turning,
        "captured": functools.partial(pictures.captured, case=case)}
    if views not in draw:
        raise UsageError("unknown_views", f"There are no views called {views!r}.", f"Known: {', '.join(sorted(draw))}.")
    if plan_id is None and (band != "mean" or months is not None):
        raise UsageError("no_plan", "Only a plan has a band and heals.", "Name it: --plan ID.")
    if band not in BANDS or (months is not None and not 0 < months <= 120):
        raise UsageError("bad_moment", f"There is no band {band!r}, or no moment {months} months after an operation.",
                         f"Bands: {', '.join(BANDS)}. A time lies within ten years after it.")
    this = Case.open(case)
    head = load(case)
    prediction = None if plan_id is None else predict(case, stored_plan(this, plan_id), part(progress, 0.0, 0.1))
    beside = (this.recon if plan_id is None else this.plan(plan_id)) / "views"
    if prediction is not None and (band != "mean" or months is not None):
        prediction = prediction.shown(band, months)
        beside = beside / (band if months is None else f"{band}_{months:.2g}_months")
    return draw[views](head, prediction, folder or beside,
                       progress=staged(part(progress, 0.1, 1.0), "Drawing the views"))


def load(case: Path) -> Reconstruction:
    """The head of a case. InputRefused: not a case; PrevisageError: it has no head, or a file is damaged."""
    return load_reconstruction(Case.open(case).recon)


def procedures() -> dict[str, Procedure]:
    """The operations that can be planned, by name."""
    from deform3d import catalogue

    return dict(catalogue())


def clinical_flags() -> dict[str, ClinicalFlag]:
    """The findings of a person that a plan may name, by name."""
    from deform3d import clinical_flags as known_flags

    return dict(known_flags())


@contextlib.contextmanager
def loading(*loads: Callable[[], object]) -> Iterator[None]:
    """Load what is needed next while the block runs, which leaves a core to spare: a second of every reconstruction."""
    with ThreadPoolExecutor(1) as beside:
        for load_one in loads:
            beside.submit(load_one)  # what fails here fails again, and is said, where it is needed
        yield


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Case]:
    """The case, made if it is not there and taken away again when the block fails before any stage is finished."""
    there, ours = folder.exists(), not (folder / "case.json").exists()
    case = Case.create(folder, versions())
    case.sweep()
    try:
        yield case
    except BaseException:
        if ours and not any(folder.rglob(MANIFEST)):
            (folder / "case.json").unlink(missing_ok=True)
            if not there:
                shutil.rmtree(folder, ignore_errors=True)
        raise


def fitted(taken: Capture, options: ReconstructOptions, progress: Progress, see: Any = None) -> Reconstruction:
    """The head of a capture; its report also says how long the capture took. see: a differentiable rasteriser, for
    the photometric refinement."""
    from recon.head import reconstruct_head
    from recon.views import HeadOptions

    said = HeadOptions(model=options.model, ipd_mm=options.ipd_mm, marker_mm=options.marker_mm, quality=options.quality)
    head = reconstruct_head(taken, rasterizer(), said, progress, see)
    seconds = {**read_json(taken.folder / "seconds.json"), **head.report["seconds"]}
    report = {**head.report, "what_ran": {**head.report["what_ran"], "rasterizer": rasterizer_name()}}
    return dataclasses.replace(head, report={**report, "seconds": seconds, "versions": versions()})


def stored_plan(case: Case, plan_id: str) -> Plan:
    """The plan as it was asked for. UsageError: the case has none of that name."""
    from deform3d import read_plan

    if plan_id not in case.plan_ids():
        known = ", ".join(case.plan_ids())
        raise UsageError("no_plan", f"The case has no plan called {plan_id!r}.",
                         f"It has: {known}." if known else "Make one with `previsage predict`.")
    return read_plan(read_json(case.plan(plan_id) / "plan.json"))


def staged(progress: Progress, stage: str = "") -> Progress:
    """Messages as `Stage: detail`."""
    return lambda fraction, message: progress(
        fraction, f"{stage}: {message}" if stage else message.replace(", ", ": ", 1) if ":" not in message else message)
