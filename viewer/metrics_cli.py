"""The command `metrics`: how far pictures are apart, by zone, procedure and skin type."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from viewer.common import Json
from viewer.terminal import current, say, table

HEADINGS = (("psnr_db", "PSNR dB", ".2f"), ("ssim", "SSIM", ".4f"), ("lpips", "LPIPS", ".4f"), ("nme", "NME", ".4f"),
            ("identity", "identity", ".3f"))
ZONES = ("whole", "inside", "boundary", "outside")


def metrics(
    before: Annotated[Path, typer.Argument(metavar="BEFORE_DIR", help="The photos.")],
    after: Annotated[Path, typer.Argument(
        metavar="AFTER_DIR", help="The predicted pictures; sub-folders are read as procedures.")],
    output: Annotated[Path, typer.Option(
        "-o", "--output", metavar="DIR", help="Where metrics.json and the plots go.")],
    masks: Annotated[Path | None, typer.Option(
        metavar="DIR", help="White on black: what the operation may change. Without them everything is over whole "
        "pictures.")] = None,
    truth: Annotated[Path | None, typer.Option(
        metavar="DIR", help="The true pictures after the operation, of the same frames.")] = None,
    table_: Annotated[Path | None, typer.Option(
        "--table", metavar="CSV", help="Columns picture, procedure, skin: groups that folders and photos do not tell."
    )] = None,
    lpips: Annotated[Path | None, typer.Option(
        metavar="FILE", help="LPIPS's network, two pictures in: ONNX or TorchScript.")] = None,
    fid: Annotated[Path | None, typer.Option(
        metavar="FILE", help="FID's network, features out (Inception).")] = None,
    identity: Annotated[Path | None, typer.Option(
        metavar="FILE", help="A face recogniser, embedding out (ArcFace).")] = None,
    lpips_input: Annotated[str, typer.Option(
        metavar="SIDE:LOW:HIGH", help="What it wants to see: side in px or `any`, range of the values.")] = "any:-1:1",
    fid_input: Annotated[str, typer.Option(metavar="SIDE:LOW:HIGH", help="The same for FID's.")] = "299:-1:1",
    identity_input: Annotated[str, typer.Option(metavar="SIDE:LOW:HIGH", help="The same for the recogniser.")]
    = "112:-1:1",
    landmarks: Annotated[bool, typer.Option(
        "--landmarks/--no-landmarks", help="Find the faces: for NME, identity and skin type.")] = True,
    json_: Json = False,
) -> None:
    """How far predicted pictures are from the photos and, when they are known, from the true ones.

    Pictures are paired by their names: before/anna.png with after/anna.png or after/rhinoplasty/anna.png, the same in
    the other folders. Both must show the same frame at the same size.

    After against before tells what was changed: outside the mask nothing should be. After against truth tells how
    wrong the prediction is. Each number is also given inside, on the boundary of and outside the mask, by procedure,
    and by the skin's ITA class (a measure of the photo's colours, no Fitzpatrick type).

    LPIPS, FID and identity need networks that you supply; without one its metric is left out, and that is said.

    NME finds the landmarks anew in both pictures. Detectors draw an operated face back to an average one, so take it
    for a check of the whole face, not for the motion that was achieved.

    \b
      previsage metrics photos predicted -o report
      previsage metrics photos predicted --masks masks --truth operated -o report
      previsage metrics photos predicted --lpips lpips_alex.onnx --fid inception.pt --fid-input 299:0:255 -o report
    """
    from previsage.image_metrics import MetricsOptions, image_metrics
    from synth.metrics.networks import form_from

    options = MetricsOptions(lpips=lpips, fid=fid, identity=identity, lpips_form=form_from(lpips_input),
                             fid_form=form_from(fid_input), identity_form=form_from(identity_input), table=table_,
                             landmarks=landmarks)
    with current.get().progress() as progress:
        made = image_metrics(before, after, output, masks, truth, options, progress)
    current.get().result(made, lambda: show(made))


def show(made: dict[str, Any]) -> None:
    """The result in words."""
    for against, summaries in made["summary"].items():
        rows = [row for grouping, groups in summaries.items() for name, group in groups.items()
                for row in rows_of("" if grouping == "all" else name.replace("_", " "), group)]
        shown = [k for k, (key, _, _) in enumerate(HEADINGS)
                 if any(key in group for groups in summaries.values() for group in groups.values())]
        heads = [HEADINGS[k][1] for k in shown]
        fid = any("fid" in group for groups in summaries.values() for group in groups.values())
        keep = [0, 1, 2, *(3 + k for k in shown), *([3 + len(HEADINGS)] if fid else [])]
        table(f"After against {against}, means", ["group", "n", "zone", *heads, *(["FID"] if fid else [])],
              [[row[k] for k in keep] for row in rows])
        say()
    for text in made["missing"]:
        say(f"Not there  {text}")
    for item in made["skipped"]:
        print(f"Skipped    {item['picture']}: {item['why']}", file=sys.stderr)
    for item in made["pictures"]:
        for against in made["summary"]:
            for note in item.get(against, {}).get("notes", []):
                say(f"Note       {item['picture']}: {note}")
    for file in made["files"]:
        say(str(file))


def rows_of(name: str, group: dict[str, Any]) -> list[list[str]]:
    """A line per zone of a group."""
    zones = [z for z in ZONES if any(z in group.get(key, {}) for key, _, _ in HEADINGS)]
    lines = []
    for zone in zones:
        cells = [cell(group.get(key, {}).get(zone), form) for key, _, form in HEADINGS]
        fid = group.get("fid", {}).get(zone)
        told = "" if fid is None else f"{fid['value']:.2f}" + (" (few pictures)" if fid["biased"] else "")
        first = zone == zones[0]
        lines.append([(name or "all") if first else "", str(group["pictures"]) if first else "", zone, *cells, told])
    return lines


def cell(told: dict[str, Any] | None, form: str) -> str:
    """A mean; `same` where no byte differs in any picture."""
    if told is None:
        return ""
    return "same" if told["mean"] is None else format(told["mean"], form)
