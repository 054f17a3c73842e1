"""Visit: several photos of one person on one day, frontal, three-quarter, profiles. One head drives them all.

    NAME_<plan>_<mode>_after.png ...   of every photo, as for one alone
    visit_<plan>_<mode>.png            all views on a page: before, after, and the change in mm
    visit.json                         the verdict of every photo, the views that are missing, what was refused and why
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import InputRefused
from core.evidence import Band
from core.files import write_json
from core.plan import Plan
from core.progress import Progress, part, silent
from core.records import record
from previsage.photo import PhotoResult, begin, carried_out
from previsage.photo_output import cells_of, origin_of, save_result
from previsage.photo_study import Study, tools
from previsage.photoreal_stage import CELL_WH, cut, cut_box
from previsage.rasterizer import rasterizer
from recon.one_photo import apart, eye_span_px
from recon.photo_verdict import STANDARD_DEG, PhotoVerdict, judge_photo
from recon.visit import Shot, fit_visit
from render.heat import heat_map
from render.rasterize import Rasterizer
from render.sheets import Views, contact_sheet
from synth.provenance import export

APART = 1.6
"""A photo whose head differs by more from that of every other (`recon.one_photo.apart`) shows somebody else, or quite
another mood. People who look alike are not told apart: four in ten pairs of people are beyond it, no pair of one."""


@record
class VisitPhoto:
    """One photo of the set: its verdict, and its result or the reason for having none; study: None where no face was
    found."""

    photo: Path
    verdict: PhotoVerdict | None
    result: PhotoResult | None
    reason: str = ""
    hint: str = ""
    study: Study | None = None


@record
class Visit:
    """photos: in the order of the head's turn; those without a result last. shared: one head drives all of them."""

    photos: tuple[VisitPhoto, ...]
    shared: bool
    notes: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Standard views that no photo shows."""
        there = {p.verdict.view for p in self.photos if p.verdict is not None and p.result is not None}
        return tuple(v for v in STANDARD_DEG if v not in there)

    def as_record(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"shared_head": self.shared, "notes": list(self.notes), "missing_views": list(self.missing), "photos": [
            {"photo": p.photo.name, "view": p.verdict.view if p.verdict else "", "reason": p.reason, "hint": p.hint,
             "verdict": p.verdict.level if p.verdict else "red",
             "sentence": p.verdict.sentence if p.verdict else p.reason,
             "angles_deg": None if p.result is None else [round(a, 1) for a in p.result.angles_deg],
             "shown": None if p.result is None else p.result.shown} for p in self.photos]}


def visit(photos: Sequence[Path], plan: Plan, mode: str = "warp3d", band: Band = "mean", ipd_mm: float | None = None,
          progress: Progress = silent, **options: Any) -> Visit:
    """A plan on every photo of one person. InputRefused: none can be used; a single one is left out with a word."""
    studies: dict[Path, Study] = {}
    left_out: list[VisitPhoto] = []
    for number, photo in enumerate(photos):
        progress(0.3 * number / len(photos), f"Finding the face in {photo.name}")
        try:
            studies[photo] = begin(photo, None, ipd_mm)
        except InputRefused as error:
            left_out.append(VisitPhoto(photo=photo, verdict=None, result=None, reason=error.message, hint=error.hint))
    if not studies:
        raise InputRefused("no_photos", f"None of the photos can be used. {left_out[0].reason}", left_out[0].hint)
    progress(0.35, "Fitting one head to all photos")
    shared, notes = one_head(list(studies.values()), ipd_mm)
    told: list[VisitPhoto] = []
    for number, (photo, study) in enumerate(studies.items()):
        share = (0.4 + 0.6 * number / len(studies), 0.4 + 0.6 * (number + 1) / len(studies))
        told.append(judged(photo, study, plan, mode, band, part(progress, *share), options))
    told.sort(key=lambda p: (p.result is None, p.result.angles_deg[0] if p.result else 0.0))
    if not any(p.result for p in told):
        raise InputRefused("not_seen_from_here", told[0].reason, told[0].hint)
    return Visit(photos=(*told, *left_out), shared=shared, notes=tuple(notes))


def judged(photo: Path, study: Study, plan: Plan, mode: str, band: Band, progress: Progress,
           options: dict[str, Any]) -> VisitPhoto:
    """The verdict of one photo, and its result."""
    head = study.head
    verdict = judge_photo(study.srgb, head.face, head.angles_deg, eye_span_px(head.face))
    try:
        result = carried_out(study, plan, mode, band, progress, **options)
    except InputRefused as error:
        return VisitPhoto(photo=photo, verdict=verdict, result=None, reason=error.message, hint=error.hint, study=study)
    return VisitPhoto(photo=photo, verdict=verdict, result=result, study=study,
                      reason="" if result.shown else f"A plain render stands in. {result.reason}")


def one_head(studies: Sequence[Study], ipd_mm: float | None) -> tuple[bool, list[str]]:
    """Give all studies one head, if one explains their photos as well as a head of its own; what to tell of it."""
    if len(studies) < 2:
        return False, ["One photo could be used: what it does not show stays the head model's."]
    sides, fronts = [s for s in studies if s.from_side], [s for s in studies if not s.from_side]
    if not fronts:
        return False, ["Photos from the side alone share no head: each was fitted by its own outline. Add one from the "
                       "front."]
    strange = strangers(fronts)
    if strange:
        return False, [alone(strange)]
    try:
        together = fit_visit(tools().model, [shot(s) for s in fronts], [shot(s) for s in sides], rasterizer(),
                             tools().detector, tools().foreground, ipd_mm)
    except InputRefused:
        return False, [alone([s.photo.name for s in fronts])]
    for study, head in zip(fronts, together.fronts, strict=True):
        study.wear(head)
    for k, head in together.sides.items():
        sides[k].wear(head)
    notes = [f"{sides[k].photo.name} was fitted alone. {why}" for k, why in together.refused.items()]
    return len(fronts) + len(together.sides) > 1, notes


def strangers(fronts: Sequence[Study]) -> list[str]:
    """Photos from the front whose head differs from that of every other."""
    own = [s.head for s in fronts]
    return [s.photo.name for s in fronts if len(own) > 1
            and min(apart(s.head, other) for other in own if other is not s.head) > APART]


def alone(names: Sequence[str]) -> str:
    """What to tell when photos do not share a head."""
    return (f"One head does not explain these photos ({', '.join(names)} stand apart): different people, or different "
            "expressions. Each photo was fitted alone: the views need not agree.")


def shot(study: Study) -> Shot:
    """A photo as the fit of all takes it."""
    return Shot(picture=study.srgb, face=study.face, focal_px=study.focal_px)


def save_visit(made: Visit, plan: Plan, mode: str, folder: Path, form: str = "png", details: bool = False) -> list[
        Path]:
    """Write every photo's files, the page of all views and visit.json."""
    results = [p.result for p in made.photos if p.result is not None]
    files = [file for result in results for file in save_result(result, folder, form, details)]
    cells = {f"{Path(r.photo.name).stem}: {r.view}": views_of(r) for r in results}
    sheet, told = folder / f"visit_{plan.id}_{mode}.png", folder / "visit.json"
    export(sheet, contact_sheet(cells, f"{plan.id}, {mode}"), origin_of(results[0]))
    write_json(told, made.as_record())
    return [sheet, told, *files]


def views_of(result: PhotoResult) -> Views:
    """A photo cut to the head, with its change in mm."""
    before, after, px_per_mm = cells_of(result)
    box = cut_box(result.landmarks_before, (result.photo.picture.shape[1], result.photo.picture.shape[0]))
    shrink = min(1.0, CELL_WH[1] / (box[3] - box[1]))
    camera = result.head.camera
    small = camera.resized((max(1, round(shrink * camera.size_wh[0])), max(1, round(shrink * camera.size_wh[1]))))
    change = heat_map(Rasterizer(result.head.mesh), small, result.prediction.total_mm())
    left, top, right, bottom = (round(shrink * edge) for edge in box)
    return Views(before=before, after=after, difference=cut(change, (left, top, right, bottom)), px_per_mm=px_per_mm)
