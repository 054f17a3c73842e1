"""The embedded demo: film a head whose truth is known, then treat the film like any other video."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from core.case import Case
from core.files import write_bytes, write_json
from core.mesh import Mesh
from core.plan import Plan, PlannedProcedure
from core.progress import Progress, part, silent
from core.reconstruction import Reconstruction
from core.store import load_npz
from previsage import recipe
from previsage.versions import code_version

PLAN = Plan(id="rhinoplasty", procedures=[PlannedProcedure(procedure="rhinoplasty", intensity=55)])
FILM_CODE = ("core", "recon", "render", "previsage", "data/models")


def make_demo(case: Path, progress: Progress = silent) -> dict[str, Any]:
    """Film, reconstruct, predict, draw, and write `summary.html` into the case; what a person wants to know of it.

    The film and its truth stay in `demo/`. The same call goes on where it was stopped.
    """
    from previsage.summary import page

    clock = Clock()
    with recipe.opened(case) as this:
        this.run_stage("demo", {"code": code_version(*FILM_CODE)},
                       lambda folder: film_portrait(folder, part(progress, 0.0, 0.25)))
    clock.lap("film")
    head = recipe.reconstruct([case / "demo" / "video.mp4"], case, progress=part(progress, 0.25, 0.7))
    clock.lap("reconstruct")
    prediction = recipe.predict(case, PLAN, part(progress, 0.7, 0.8))
    clock.lap("predict")
    drawn = [case / "plans" / PLAN.id / "views" / "turntable.mp4"]
    drawn = drawn if drawn[0].is_file() else recipe.render_views(case, PLAN.id, "turntable", None,
                                                                 part(progress, 0.8, 1.0))
    clock.lap("turntable")
    error = against_truth(head, case / "demo" / "truth.npz")
    record = {"case": case, "cases": Path(case).resolve().parent, "summary": case / "summary.html",
              "sheet": case / "plans" / PLAN.id / "views" / "sheet.png", "turntable": drawn[0],
              "seconds": clock.seconds, "error_mm": {k: error[k] for k in ("metric", "shape")},
              "scale_error_percent": error["shape"].pop("scale_error_percent"),
              "scale": {"source": head.scale.source, "interval95_percent": head.scale.interval95_percent}}
    write_json(case / "demo.json", record)
    write_bytes(case / "summary.html", page(Case.open(case), head, prediction, record).encode())
    progress(1.0, "Done: the demo is ready")
    return record


class Clock:
    """Seconds of each step, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Close the step that just ran."""
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 2)
        self._last = now


def film_portrait(folder: Path, progress: Progress) -> None:
    """Write video.mp4 and truth.npz of the portrait's head."""
    from previsage.portrait import portrait_head
    from render.film import film

    progress(0.0, "Filming the demo: putting the portrait on a head")
    head = portrait_head()
    film(folder, head.mesh, head.texture, head.landmarks478_mm,
         progress=recipe.staged(part(progress, 0.4, 1.0), "Filming the demo"))


def against_truth(head: Reconstruction, truth: Path) -> dict[str, dict[str, float]]:
    """The head's distance from the filmed one."""
    from analysis.accuracy import face_error

    true = load_npz(truth)
    verts, tris = true["verts"].astype(float), true["tris"].astype(np.int32)
    mesh = Mesh(vertices_mm=verts, faces=tris, uv=np.zeros((1, 2)), faces_uv=np.zeros_like(tris))
    return face_error(head.mesh, head.landmarks.points, mesh, true["landmarks478"].astype(float))
