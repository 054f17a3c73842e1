"""Summary: one page about a case, with its pictures inside, for somebody who has never seen the program."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from core.case import Case
from core.files import read_json
from core.prediction import Prediction
from core.reconstruction import Reconstruction

WIDTH_PX = 2000
"""Widest picture on the page."""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2329; max-width: 1180px; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } figure { margin: 1rem 0 } h2 { margin-top: 2.2rem }
img, video { max-width: 100%; border-radius: 6px }
table { border-collapse: collapse; margin: .6rem 0 } td, th { padding: .25rem .8rem .25rem 0; text-align: left;
border-bottom: 1px solid #e3e6e9; vertical-align: top } td.n { text-align: right; font-variant-numeric: tabular-nums }
.mark { color: #a3261c; font-weight: 600 } .muted { color: #5a646e } code { background: #f1f3f5; padding: .1rem .3rem }
"""

LIMITS = (
    "A simulation of a plan, not a promise of the result; not a medical device.",
    "The demo's head is one public-domain portrait put on the embedded model, with invented grain; its sides and scalp "
    "are filled. It lies within what the model can express, so real faces are harder: see benchmarks/.",
    "The head is a model fitted to landmarks. Fine shape (nostrils, ears, hair) is the model's, not the person's.",
    "No length is better than the stated 95 % interval of the scale.",
)


def page(case: Case, head: Reconstruction, prediction: Prediction, demo: dict[str, Any]) -> str:
    """The page as HTML; pictures are inside, the movie lies beside."""
    quality = read_json(case.folder / "capture" / "quality.json")
    views = case.plan(str(prediction.plan["id"])) / "views"
    turntable = Path(demo["turntable"]).relative_to(case.folder).as_posix()
    parts = [
        "<h1>Previsage demo</h1><p class=mark>A simulation, not a promise of the result.</p>",
        f"<p>A head was filmed ({len(head.views)} of its pictures were used), reconstructed from the film alone, and a "
        f"rhinoplasty was predicted on it. Look at it in the browser: <code>previsage serve --cases "
        f"{html.escape(str(demo['cases']))}</code>.</p>",
        picture(views / "sheet.png", "Before, after and change in mm, in the standard views"),
        picture(views / "left_lateral_pair.png", "Left profile, before and after"),
        picture(views / "left_oblique_pair.png", "Left oblique view, before and after"),
        f'<video src="{html.escape(turntable)}" controls loop muted></video>',
        "<h2>How well the head fits</h2>", facts(head_facts(head, demo)),
        "<h2>Landmarks: distance between fitted and detected, px</h2>",
        f"<details><summary>{len(head.views)} pictures</summary>{reprojection(head)}</details>",
        "<h2>The plan: asked and landed</h2>", landed(prediction), notes(prediction),
        "<h2>The capture</h2>", f"<p>{html.escape(quality['sentence'])}</p>",
        picture(case.folder / "capture" / "quality.png", "The pictures that were used"),
        "<h2>Seconds per stage</h2>", facts([*demo["seconds"].items(), *((f"&nbsp;&nbsp;of which {k}", v) for k, v in
                                                                        head.report["seconds"].items())]),
        "<h2>What ran</h2>", facts([*head.report["what_ran"].items(), *head.report["versions"].items(),
                                    ("deform3d", prediction.versions["deform3d"])]),
        "<h2>Limits</h2><ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in LIMITS) + "</ul>"]
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>Previsage demo</title><style>{STYLE}</style>{''.join(parts)}</html>\n")


def head_facts(head: Reconstruction, demo: dict[str, Any]) -> list[tuple[str, str]]:
    """Scale, reprojection and the error against the truth."""
    error = demo["error_mm"]
    return [("Scale", f"from {head.scale.source}, ±{head.scale.interval95_percent:.1f} % (95 %); true error "
                      f"{demo['scale_error_percent']:+.1f} %"),
            ("Landmark reprojection", f"{head.report['reprojection_px']['median']:.2f} px (median)"),
            *((f"Distance to the true face, {what}",
               f"mean {error[key]['mean']:.2f} mm, median {error[key]['median']:.2f} mm, 90 % below "
               f"{error[key]['p90']:.2f} mm") for key, what in (("shape", "shape (scaled to fit)"),
                                                               ("metric", "in millimetres (not scaled)")))]


def reprojection(head: Reconstruction) -> str:
    """Per picture: the head's turn and the median error."""
    rows = sorted((v.camera.head_angles_rad[0] * 57.29578, v.source, v.reprojection_px) for v in head.views)
    return rows_of(("turn to the patient's left, °", "picture", "px"),
                   [(f"{yaw:+.0f}", source, f"{px:.2f}") for yaw, source, px in rows], (0, 2))


def landed(prediction: Prediction) -> str:
    """Every handle, mm."""
    words = [(i.step, i.pin, *(" ".join(f"{c + 0.0:+.2f}" for c in v) for v in (i.asked_mm, i.landed_mm)),
              f"{i.error_mm:.3f}") for i in prediction.landed]
    return rows_of(("step", "handle", "asked, mm (left up forward)", "landed, mm", "off by"), words, (4,))


def notes(prediction: Prediction) -> str:
    """Volumes and warnings."""
    lines = [f"Volume added {prediction.volume_added_ml:.2f} ml, removed {prediction.volume_removed_ml:.2f} ml.",
             *prediction.warnings]
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def facts(rows: Iterable[tuple[str, Any]]) -> str:
    """Two columns; the names are ours and may hold entities."""
    return "<table>" + "".join(f"<tr><td>{name}<td>{html.escape(str(value))}" for name, value in rows) + "</table>"


def rows_of(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int]) -> str:
    """A table; `numbers` are the columns set to the right."""
    head = "".join(f"<th>{html.escape(c)}" for c in columns)
    body = "".join("<tr>" + "".join(f"<td{' class=n' if k in numbers else ''}>{html.escape(cell)}"
                                    for k, cell in enumerate(row)) for row in rows)
    return f"<table><tr>{head}{body}</table>"


def picture(path: Path, label: str) -> str:
    """A picture inside the page, as JPEG."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((WIDTH_PX, WIDTH_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=88)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<figure><img alt="{html.escape(label)}" src="data:image/jpeg;base64,{data}"></figure>'
