"""Results as a person reads them in a terminal, and the same as records for `--json`."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.measures import MEASURES, Measure
from core.evidence import BANDS
from core.files import read_json
from core.flag import ClinicalFlag
from core.healing import WEEK_MONTHS
from core.prediction import Coupled, Landed, Prediction
from core.procedure import Procedure, Step
from core.reconstruction import Reconstruction
from core.solved import Solved
from viewer.terminal import say, table

if TYPE_CHECKING:
    from previsage.doctor import Check
    from previsage.photoreal_stage import Photoreal

SIMULATION = "A simulation of a plan, not a promise of the result."


def head_record(case: Path, head: Reconstruction) -> dict[str, Any]:
    """A head in numbers."""
    quality = read_json(case / "capture" / "quality.json")
    return {"case": case, "model": head.model, "views": len(head.views),
            "scale": {"source": head.scale.source, "interval95_percent": head.scale.interval95_percent},
            "reprojection_px": head.report["reprojection_px"]["median"], "seconds": head.report["seconds"],
            "profiles": head.report.get("profiles", {}),  # a case made earlier says nothing of them
            "quality": {k: quality[k] for k in ("verdict", "sentence", "film_again", "notes")}}


def head(case: Path, made: Reconstruction) -> None:
    """A head in words."""
    record = head_record(case, made)
    quality, seconds = record["quality"], sum(record["seconds"].values())
    say(f"Capture   {quality['sentence']}")
    refused = [f"{name}: {why}" for name, why in record["profiles"].get("refused", {}).items()]
    for note in (*quality["notes"], *refused, *quality["film_again"]):
        say(f"          {note}")
    say(f"Head      {made.model} from {len(made.views)} pictures; landmarks lie {record['reprojection_px']:.1f} px off "
        "(median)")
    say(f"Scale     from {made.scale.source.replace('+', ' and ')}: every length is good to "
        f"±{made.scale.interval95_percent:.1f} % (95 %)")
    say(f"Case      {case} ({seconds:.0f} s)")
    say(f"Next      previsage predict {case} --procedure rhinoplasty")


def prediction_record(case: Path, made: Prediction) -> dict[str, Any]:
    """A prediction in numbers."""
    return {"case": case, "id": made.plan["id"], "folder": case / "plans" / made.plan["id"],
            "steps": [{"name": n, "label": lab, "value": v, "unit": u} for n, lab, v, u in steps_of(made)],
            "landed": [{"step": i.step, "pin": i.pin, "asked_mm": i.asked_mm, "landed_mm": i.landed_mm,
                        "error_mm": i.error_mm} for i in made.landed],
            "most_mm": float(np.linalg.norm(made.total_mm(), axis=1).max()),
            "couplings": [{"step": c.step, "label": c.label, "mean_mm": c.mean_mm, "low_mm": c.low_mm,
                           "high_mm": c.high_mm, "mark": c.mark, "source": c.source} for c in made.couplings],
            "band_mm": {band: float(np.linalg.norm(made.total_mm(band), axis=1).max()) for band in BANDS},
            "swelling_percent": {name: dict(zip(made.swelling_months, row, strict=True)) for name, row in zip(
                made.swelling_names, made.swelling_percent.tolist(), strict=True)},
            "volume_added_ml": made.volume_added_ml, "volume_removed_ml": made.volume_removed_ml,
            "min_dihedral_deg": made.min_dihedral_deg, "warnings": made.warnings}


def steps_of(made: Prediction) -> list[tuple[str, str, float, str]]:
    """Name, label, value and unit of every step."""
    return list(zip(made.step_names, made.step_labels, made.step_values, made.step_units, strict=True))


def prediction(case: Path, made: Prediction) -> None:
    """A prediction in words."""
    folder, short = case / "plans" / made.plan["id"], short_names(made)
    table("", ["step", "what", "value", ""], [[own_name(name, short), label, f"{value:+.2f}", unit]
                                              for name, label, value, unit in steps_of(made)])
    say()
    table("Handles, mm (x to the patient's left, y up, z forward)", ["step", "handle", "asked", "landed", "off by"],
          [landed_row(item, short) for item in made.landed] or [["none moves", "", "", "", ""]])
    say()
    if made.couplings:
        table("Also moves", ["step", "what", "mm", "from", "to", "evidence"],
              [coupled_row(c, short) for c in made.couplings])
        say()
    least, mean, most = (np.linalg.norm(made.total_mm(band), axis=1).max() for band in BANDS)
    say(f"Volume    +{made.volume_added_ml:.2f} ml, -{made.volume_removed_ml:.2f} ml")
    say(f"Skin      moves at most {mean:.2f} mm ({least:.2f} to {most:.2f} as tissue responds least and most); the "
        f"sharpest edge made is {made.min_dihedral_deg:.0f} deg (180 is flat)")
    for line in swelling_lines(made):
        say(line)
    for warning in made.warnings:
        say(f"Note      {warning}")
    say(f"Pictures  {folder / 'views' / 'sheet.png'}")
    say(SIMULATION)


def short_names(made: Prediction) -> bool:
    """Whether steps can go by their own names: in a plan of several procedures two may have the same."""
    return len({name.partition(".")[0] for name in made.step_names} - {"free"}) == 1


def landed_row(item: Landed, short: bool) -> list[str]:
    """One handle."""
    vector = [" ".join(f"{c + 0.0:+.2f}" for c in v) for v in (item.asked_mm, item.landed_mm)]
    return [own_name(item.step, short), item.pin, *vector, f"{item.error_mm:.3f}"]


def solved_record(case: Path, found: Solved, made: Prediction) -> dict[str, Any]:
    """A plan that was found, in numbers."""
    return {**prediction_record(case, made), "goals": [dataclasses.asdict(g) for g in found.goals],
            "rms_before_mm": found.rms_before_mm, "rms_after_mm": found.rms_after_mm, "at_clamp": found.at_clamp}


def solved(case: Path, found: Solved, made: Prediction) -> None:
    """A plan that was found, in words."""
    if found.goals:
        table("Goals", ["measure", "now", "wanted", "with the plan", ""],
              [[MEASURES[g.name].label, *(f"{v:.2f}" for v in (g.before, g.target, g.after)),
                "reached" if g.reached else "NOT REACHED"] for g in found.goals])
    else:
        say(f"Surface   {found.rms_before_mm:.2f} mm off before, {found.rms_after_mm:.2f} mm with the plan (RMS)")
    for g in found.goals:
        if not g.reached and f"{g.after:.2f}" == f"{g.before:.2f}":
            say(f"Limit     {MEASURES[g.name].label}: no step that may be used here brings it nearer")
    for name in found.at_clamp:
        say(f"Limit     {name} is at its clamp and has no more to give")
    say()
    prediction(case, made)


def measures(known: Mapping[str, Measure]) -> None:
    """Every measure."""
    table("", ["measure", "what", "unit", "landmarks"],
          [[name, m.label, m.unit or "ratio", " ".join(m.pins)] for name, m in known.items()])


def own_name(step: str, short: bool) -> str:
    """A step's name, without its procedure's when `short`."""
    return step.partition(".")[2] if short and not step.startswith("free.") else step


def coupled_row(item: Coupled, short: bool) -> list[str]:
    """One thing that is dragged along."""
    return [own_name(item.step, short), item.label, f"{item.mean_mm:+.1f}", f"{item.low_mm:+.1f}",
            f"{item.high_mm:+.1f}", item.mark]


def swelling_lines(made: Prediction) -> list[str]:
    """How much swelling is left, a line a procedure."""
    weeks = [f"{m:.0f} mo" if m >= 1 else f"{m / WEEK_MONTHS:.0f} wk" for m in made.swelling_months]
    return [f"Swelling  {name}: " + ", ".join(f"{p:.0f} % at {w}" for p, w in zip(row, weeks, strict=True))
            for name, row in zip(made.swelling_names, made.swelling_percent, strict=True)]


def files(written: Sequence[Path]) -> None:
    """Files, one per line."""
    for path in written:
        say(str(path))


def photoreal(made: "Photoreal") -> None:
    """Photoreal pictures in words."""
    table("", ["frame", "yaw", "pitch", "picture", ""],
          [[f["frame"], *(f"{a:+.0f} deg" for a in f["angles_deg"][:2]), f["label"],
            "" if f["photoreal"] else f["reason"]] for f in made.frames])
    say()
    for note in made.ran.get("notes", ()):
        say(f"Note      {note}")
    say(f"Pictures  {made.folder}")
    say(f"Sheet     {made.folder / 'sheet.png'}")
    if (made.folder / "turn.mp4").is_file():
        say(f"Movie     {made.folder / 'turn.mp4'}")
    say(SIMULATION)


def procedures(found: dict[str, Procedure]) -> None:
    """Every procedure with its steps."""
    for procedure in found.values():
        columns = ["step", "what", "unit", "typical", "maximum", "limits", "evidence", "source"]
        table(f"{procedure.name}: {procedure.label}", columns, [step_row(step) for step in procedure.steps])
        say()
    say("typical is reached at about 55 % intensity, maximum at 100 %; a value outside the limits is refused.")
    say("Evidence: M measured, V review, P practice, T textbook, D derived, E engineering assumption.")


def flags(found: dict[str, ClinicalFlag]) -> None:
    """Every clinical finding, and what is said of it."""
    for flag in found.values():
        say(f"{flag.name}: {flag.label}" + ("" if flag.side == "none" else f" (side {flag.side})"))
        for warned in flag.warnings:
            where = ", ".join(warned.procedures) or "all"
            say(f"    {warned.level:5} {where}: {warned.text} [{warned.evidence.mark}]")
    say("red is refused without an override in the plan, amber is told, green is noted.")


def step_row(step: Step) -> list[str]:
    """One step."""
    low, high = step.clamp
    name = step.name + (" (a side)" if step.sided else "") + ("" if step.preset else " (only when named)")
    return [name, step.label, step.unit, f"{step.typical:g}", f"{step.maximum:g}", f"{low:g} to {high:g}", step.mark,
            step.source]


def models(found: list[dict[str, Any]]) -> None:
    """Every head model, and the weights of the generative modes."""
    table("", ["model", "here", "what", "licence", "to get it"],
          [[m["name"], "yes" if m["installed"] else "no", m["what"], m["licence"], m["get"]] for m in found])


def added_model(record: dict[str, Any]) -> None:
    """A head model or weights that were just added."""
    licence, weights = record["licence"], "files" in record
    if weights:
        say(f"Weights   {record['title']}: {len(record['files'])} files, {record['bytes'] / 1e9:.2f} GB, in "
            f"{record['folder']}")
        for file, known in record["files"].items():
            say(f"          {known['sha256'][:16]}  {known['bytes']:>13,}  {file}")
        if record["note"]:
            say(f"Note      {record['note']}")
    else:
        say(f"Model     {record['title']}: {record['vertices']} vertices, {record['identity_modes']} shapes, "
            f"{record['facial_actions']} facial actions")
    say(f"Licence   {licence['name']}, {licence['holder']}; accepted {record['licence_accepted']}")
    say(f"          {licence['terms']}")
    say(f"Cite      {licence['cite']}")
    say("Next      previsage doctor" if weights else
        f"Next      previsage reconstruct VIDEO -o CASE --model {record['name']}")


def doctor(checks: "Sequence[Check]") -> None:
    """Every check with what to do."""
    table("", ["", "what", "found", "to do"],
          [[{"ok": "ok", "missing": "MISSING", "optional": "-"}[c.state], c.name, c.found, c.hint] for c in checks])


def demo(record: dict[str, Any]) -> None:
    """Where the demo's results are."""
    table("", ["stage", "seconds"], [[name, f"{s:.1f}"] for name, s in record["seconds"].items()])
    error, scale = record["error_mm"], record["scale"]
    say()
    say(f"Against the truth of the film: {error['shape']['mean']:.2f} mm in shape, {error['metric']['mean']:.2f} mm in "
        f"millimetres (mean distance of the face); scale {record['scale_error_percent']:+.1f} %, stated "
        f"±{scale['interval95_percent']:.1f} %")
    say(f"Summary   {record['summary']}")
    say(f"Pictures  {record['sheet']}")
    say(f"Viewer    previsage serve --cases {record['cases']}")
    say(SIMULATION)
