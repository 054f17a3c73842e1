"""The command line. Exit codes: 0 done, 1 failed with a named cause, 2 wrong usage, 3 input refused."""

import contextlib
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import PrevisageError, UsageError
from previsage.options import IPD_MM, MARKER_MM
from viewer import bench_cli, metrics_cli, models_cli, photo_cli, photoreal_cli, shown, train_cli, verify_cli
from viewer.common import Band, CaseArg, Json, PlanOption, work
from viewer.terminal import Terminal, current, quiet_libraries, say, unexpected

INTENSITY = 55.0
"""Per cent: the typical operation."""
CLICK: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""The base of typer's own usage errors, wherever this version of typer keeps it."""

HELP = """\
See in 3D and in millimetres what a facial operation may look like.

A phone video of a slow head turn becomes a metric head; a plan deforms it; the result is drawn and turned around.
Everything runs on this computer; nothing is sent anywhere.

\b
  previsage demo                                              the whole way, on a head that it films itself
  previsage reconstruct anna.mp4 -o cases/anna                video to head
  previsage predict cases/anna --procedure rhinoplasty        head and plan to prediction
  previsage photoreal cases/anna                              the plan on the person's own pictures
  previsage photo anna.jpg --procedure rhinoplasty -o out     one photo alone, before and after
  previsage serve --cases cases                               turn it around in the browser

\b
Exit codes: 0 done, 1 failed with a named cause, 2 wrong usage,
3 input refused. Add --json for machines.
"""
app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(models_cli.app, name="models")
app.add_typer(bench_cli.app, name="bench")
app.add_typer(train_cli.app, name="train")



class Quality(StrEnum):
    """Skin at half or at full resolution."""

    fast = "fast"
    full = "full"


class Show(StrEnum):
    """What the window draws."""

    skin = "skin"
    certainty = "certainty"


class ViewSet(StrEnum):
    """Which pictures."""

    standard = "standard"
    captured = "captured"
    turntable = "turntable"


def main() -> int:
    """The console script."""
    quiet_libraries()
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    code = run(sys.argv[1:], stop)
    if stop.asked:
        exec("")  # Python remembers a KeyboardInterrupt that left an exec(), which libraries call, and would die of it
    return code


class Stop:
    """Ctrl-C, or a request to end: remembered, because a library that is being loaded turns it into an error."""

    asked = False

    def __call__(self, number: int, frame: object) -> None:
        """The signal's handler; only the first signal counts, so that cleaning up is not cut short."""
        if not self.asked:
            self.asked = True
            raise KeyboardInterrupt


def run(given: list[str], stop: Stop | None = None) -> int:
    """Run a command; its exit code."""
    terminal = Terminal("--json" in given[:given.index("--")] if "--" in given else "--json" in given)
    current.set(terminal)
    try:
        done = app(args=given, prog_name="previsage", standalone_mode=False)
        return terminal.failure(interrupted()) if done == 130 else int(done or 0)
    except PrevisageError as error:
        return terminal.failure(error)
    except CLICK as error:
        return terminal.failure(UsageError("usage", error.format_message(), f"See: {help_of(error)}"))
    except (KeyboardInterrupt, typer.Abort):
        return terminal.failure(interrupted())
    except Exception as error:
        asked = stop is not None and stop.asked
        return terminal.failure(interrupted() if asked else unexpected(error))


def help_of(error: Any) -> str:
    """The help page of the command that was called wrongly."""
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'previsage'} --help"


def interrupted() -> PrevisageError:
    """Ctrl-C."""
    return PrevisageError("interrupted", "Stopped.", "Finished stages are kept: the same command goes on from there.")


@app.callback(help=HELP)
def start(json_: Json = False) -> None:
    """What stands before the command."""


@app.command()
def demo(json_: Json = False, output: Annotated[Path, typer.Option(
        "-o", "--output", metavar="CASE", help="Where to write the case.")] = Path("demo-case")) -> None:
    """Film a head, reconstruct it, predict a rhinoplasty, and write a page about it.

    The head is a public-domain portrait on the embedded model, so the error against the truth is known.
    Takes 2 to 4 minutes on two cores.

    \b
      previsage demo -o demo-case
    """
    import previsage

    with work(output) as progress:
        record = previsage.make_demo(output, progress)
    current.get().result(record, lambda: shown.demo(record))


@app.command()
def reconstruct(
    inputs: Annotated[list[Path], typer.Argument(metavar="VIDEO | PHOTO... | FOLDER", help="One video, or photos.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="CASE", help="Folder of the case.")],
    model: Annotated[str, typer.Option(metavar="NAME", help="Head model; see `previsage models`.")] = "anny",
    ipd_mm: Annotated[float | None, typer.Option(
        "--ipd-mm", metavar="X", help=f"Distance between the pupils, {IPD_MM[0]:g} to {IPD_MM[1]:g} mm; it sets the "
        "scale.")] = None,
    marker_mm: Annotated[float | None, typer.Option(
        "--marker-mm", metavar="X", help="Side of a printed 4x4 ArUco marker on the forehead, "
        f"{MARKER_MM[0]:g} to {MARKER_MM[1]:g} mm; it sets the scale.")] = None,
    quality: Annotated[Quality, typer.Option(help="Skin at half or at full resolution.")] = Quality.full,
    photometric: Annotated[bool, typer.Option(
        "--photometric", help="Also move the skin until the pictures agree on it, at full quality: minutes more, needs "
        "torch.")] = False,
    json_: Json = False,
) -> None:
    """A video or photos become a head in millimetres.

    Film a slow turn of the head to both sides, 60 degrees each, 5 to 10 seconds, face uncovered, even light; or give
    three to ten photos: front, three-quarter views, profiles. The same command goes on where it was stopped.

    \b
      previsage reconstruct anna.mp4 -o cases/anna
      previsage reconstruct front.jpg left.jpg right.jpg -o cases/anna --ipd-mm 62.5
      previsage reconstruct photos/ -o cases/anna --quality fast
    """
    import previsage

    options = previsage.ReconstructOptions(model=model, ipd_mm=ipd_mm, marker_mm=marker_mm, quality=quality.value,
                                           photometric=photometric)
    with work(output) as progress:
        head = previsage.reconstruct(inputs, output, options, progress)
    current.get().result(shown.head_record(output, head), lambda: shown.head(output, head))


@app.command()
def predict(
    case: CaseArg,
    procedure: Annotated[list[str] | None, typer.Option(
        metavar="NAME", help="See `previsage procedures`; repeat it for several, in their order.")] = None,
    intensity: Annotated[float | None, typer.Option(
        min=0, max=100, metavar="0..100", help=f"Per cent of the maximum; {INTENSITY:g}, the typical operation, when "
        "neither this nor a step is given.")] = None,
    step: Annotated[list[str] | None, typer.Option(
        metavar="NAME=VALUE", help="A step's value in its own unit (mm, degrees, percent); NAME.left= or NAME.right= "
        "for one side; repeat it for several.")] = None,
    side: Annotated[str | None, typer.Option(metavar="left|right", help="Only this side, of steps with sides.")] = None,
    flag: Annotated[list[str] | None, typer.Option(
        metavar="NAME[:SIDE[:lock]]", help="A clinical finding of the person (see `previsage procedures --flags`); "
        "repeat it for several.")] = None,
    plan: Annotated[Path | None, typer.Option(
        metavar="FILE", help="A plan as YAML or JSON, instead; overrides, free moves and an order can be said there.")
    ] = None,
    plan_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Name of the plan's folder.")] = None,
    json_: Json = False,
) -> None:
    """A plan moves the head's skin; where each handle was asked to go and where it went is printed in mm.

    With --step alone the other steps stay at zero; with --intensity too they follow it.

    \b
      previsage predict cases/anna --procedure rhinoplasty
      previsage predict cases/anna --procedure rhinoplasty --step hump_mm=2 --step tip_rotation_deg=6 --id gentle
      previsage predict cases/anna --procedure brow_lift --side left --flag facial_palsy:left
      previsage predict cases/anna --plan plan.yaml
    """
    import previsage
    from viewer.plans import plan_from

    wanted = plan_from(procedure or [], intensity, step or [], plan, plan_id, INTENSITY, side, flag or [])
    with work(case) as progress:
        prediction = previsage.predict(case, wanted, progress)
    current.get().result(shown.prediction_record(case, prediction), lambda: shown.prediction(case, prediction))


@app.command()
def solve(
    case: CaseArg,
    procedure: Annotated[list[str] | None, typer.Option(
        metavar="NAME", help="Whose steps may be used; repeat it for several.")] = None,
    goal: Annotated[list[str] | None, typer.Option(
        metavar="MEASURE=VALUE", help="A measure and the value it should take; repeat it for several.")] = None,
    target: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Instead of goals: a surface in the head frame (PLY, STL, OBJ in mm; GLB).")] = None,
    step: Annotated[list[str] | None, typer.Option(
        metavar="PROCEDURE.STEP", help="Use only this step; repeat it for several.")] = None,
    plan_id: Annotated[str, typer.Option("--id", metavar="ID", help="Name of the plan's folder.")] = "goals",
    json_: Json = False,
) -> None:
    """Backwards: find the values of steps that reach measured goals, within their limits; say what cannot be reached.

    The plan found is predicted and kept like any other.

    \b
      previsage solve cases/anna --procedure rhinoplasty --procedure mentoplasty --goal nasolabial_angle=100 \\
          --goal goode=0.57 --goal chin_to_zero_meridian=0
      previsage solve cases/anna --procedure rhinoplasty --target wanted.ply
    """
    import previsage
    from viewer.plans import goals_from

    with work(case) as progress:
        found, prediction = previsage.solve(case, procedure or [], goals_from(goal or []), target, step or [], plan_id,
                                            progress)
    current.get().result(shown.solved_record(case, found, prediction), lambda: shown.solved(case, found, prediction))


@app.command()
def measures(json_: Json = False) -> None:
    """The measures that a goal may name."""
    from analysis.measures import MEASURES

    current.get().result({"measures": {n: {"label": m.label, "unit": m.unit, "landmarks": m.pins} for n, m in
                                       MEASURES.items()}}, lambda: shown.measures(MEASURES))


@app.command()
def render(
    case: CaseArg, plan: PlanOption = None,
    views: Annotated[ViewSet, typer.Option(help="The clinical views; over the person's own pictures; a movie.")]
    = ViewSet.standard,
    output: Annotated[Path | None, typer.Option(
        "-o", "--output", metavar="DIR", help="Without it: into the case.")] = None,
    band: Annotated[Band, typer.Option(help="Where tissue responds least, on average, or most.")] = Band.mean,
    weeks: Annotated[float | None, typer.Option(
        min=0.1, max=520, metavar="N", help="With the swelling so many weeks after the operation.")] = None,
    json_: Json = False,
) -> None:
    """Draw pictures of the head, or of a plan's before and after.

    \b
      previsage render cases/anna --plan rhinoplasty --weeks 2
      previsage render cases/anna --plan rhinoplasty
      previsage render cases/anna --plan rhinoplasty --views turntable -o for-anna
    """
    import previsage
    from core.healing import WEEK_MONTHS

    with work(case) as progress:
        files = previsage.render_views(case, plan, views.value, output, progress, band.value,
                                       None if weeks is None else weeks * WEEK_MONTHS)
    current.get().result({"files": files}, lambda: shown.files(files))


app.command("photoreal")(photoreal_cli.photoreal)
app.command("photo")(photo_cli.photo)
app.command("verify")(verify_cli.verify)
app.command("metrics")(metrics_cli.metrics)


@app.command()
def view(
    case: CaseArg, plan: PlanOption = None,
    screenshot: Annotated[Path | None, typer.Option(
        metavar="PNG", help="Write a picture; no window is opened.")] = None,
    show: Annotated[Show, typer.Option(
        help="The person's skin; or how near the true skin lies, in mm, and what the camera did not see.")] = Show.skin,
    json_: Json = False,
) -> None:
    """Turn the head around in a window (needs the extra `desktop`).

    \b
      previsage view cases/anna --plan rhinoplasty
      previsage view cases/anna --show certainty --screenshot anna.png
    """
    from viewer import desktop

    if screenshot is None:
        desktop.view(case, plan, show.value)
        current.get().result({"closed": True}, lambda: None)
        return
    desktop.screenshot(case, plan, screenshot, show=show.value)
    current.get().result({"files": [screenshot]}, lambda: shown.files([screenshot]))


@app.command()
def serve(
    cases: Annotated[Path, typer.Option(
        metavar="DIR", help="Folder of cases; made if it is not there.")] = Path("cases"),
    host: Annotated[str, typer.Option(metavar="H", help="This computer's own address; any other is refused.")]
    = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="P", min=1, max=65535, help="TCP port.")] = 8000,
    json_: Json = False,
) -> None:
    """The web viewer, for this computer only: upload, watch, turn, slide, compare. Stop it with Ctrl-C.

    \b
      previsage serve --cases cases --port 8080
    """
    from viewer.web import server

    server.check_address(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    current.get().result({"address": address, "cases": cases}, lambda: say(f"Previsage serves {cases} at {address}"))
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):  # the way to stop it
        server.serve(cases, host, port)


@app.command()
def procedures(
    json_: Json = False,
    flags: Annotated[bool, typer.Option("--flags", help="Instead, the clinical findings a plan may name.")] = False,
) -> None:
    """The operations that can be planned: steps, units, typical and largest values, hard limits, evidence."""
    import previsage

    if flags:
        known = previsage.clinical_flags()
        current.get().result({"flags": {n: f.model_dump(mode="json") for n, f in known.items()}},
                             lambda: shown.flags(known))
        return
    found = previsage.procedures()
    current.get().result({"procedures": {n: p.model_dump(mode="json") for n, p in found.items()}},
                       lambda: shown.procedures(found))


@app.command()
def doctor(json_: Json = False) -> None:
    """What is installed, what is missing, and how to get it. Exit code 1 when something needed is missing."""
    from previsage.doctor import examine

    checks = examine()
    wrong = [c for c in checks if c.state == "missing"]
    current.get().result({"ok": not wrong, "checks": [vars(c) for c in checks]}, lambda: shown.doctor(checks))
    if wrong:
        raise typer.Exit(1)


if __name__ == "__main__":
    sys.exit(main())
