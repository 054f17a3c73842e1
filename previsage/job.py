"""One piece of work on a case, in a process of its own: `python -m previsage.job CASE`.

The truth is in the case folder, so neither a crash here nor a restart of the server loses anything:

    job.json            the request (kind, inputs, options, plan) and where it stands (state, stage, fraction, message)
    job-events.jsonl    every change of it, one line each, in order; only ever appended to
    job.lock            held by the process that works on the case; the system frees it however that process ends

The server writes `queued`, `interrupted` and `cancelled`; this process writes the other states. A job is a child
process because decoders can crash and must be stoppable with everything they started.
"""

import contextlib
import json
import os
import re
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from core.errors import InputRefused, PrevisageError
from core.files import read_json, write_json
from core.plan import Plan
from core.progress import Progress, part
from previsage.options import IPD_MM, MARKER_MM, Quality

State = Literal["queued", "running", "done", "failed", "refused", "interrupted", "cancelled"]
FINAL = frozenset({"done", "failed", "refused", "cancelled"})
JOB, EVENTS, LOCK = "job.json", "job-events.jsonl", "job.lock"
SHOWN = ("kind", "state", "stage", "fraction", "message", "error")
QUIET_S = 0.2
"""Progress within one stage is written at most five times a second: each write waits for the disk."""


class Problem(BaseModel):
    """Why a job ended without a result: a code, a plain sentence, and what to do."""

    code: str
    message: str
    hint: str = ""


class Options(BaseModel):
    """What a person may say about an upload. `ipd_mm` is the distance between the pupils."""

    model_config = ConfigDict(extra="forbid")

    ipd_mm: Annotated[FiniteFloat, Field(ge=IPD_MM[0], le=IPD_MM[1])] | None = None
    marker_mm: Annotated[FiniteFloat, Field(ge=MARKER_MM[0], le=MARKER_MM[1])] | None = None
    quality: Quality = "fast"


class Job(BaseModel):
    """The request and its state. `inputs` are relative to the case; times are seconds since 1970."""

    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    kind: Literal["reconstruct", "predict"]
    inputs: list[str] = []
    options: Options = Options()
    plan: Plan | None = None
    state: State = "queued"
    stage: str = ""
    fraction: float = 0.0
    message: str = ""
    error: Problem | None = None
    attempt: int = 0
    pid: int | None = None
    created_s: float = Field(default_factory=time.time)
    updated_s: float = Field(default_factory=time.time)


def read_job(case: Path) -> Job | None:
    """The case's job, or None when it never had one. PrevisageError: the file is damaged."""
    if not (case / JOB).is_file():
        return None
    try:
        return Job.model_validate(read_json(case / JOB))
    except ValidationError as error:
        raise PrevisageError("case_damaged", f"{JOB} is damaged.", "Delete it and start the work again.") from error


def write_job(case: Path, job: Job, **changes: Any) -> Job:
    """Append the change to the events, then store the job: who reads that it has ended finds every event."""
    job = job.model_copy(update={**changes, "updated_s": time.time()})
    event = {"job": job.id, **job.model_dump(mode="json", include=set(SHOWN)), "time_s": job.updated_s}
    with open(case / EVENTS, "a", encoding="utf-8") as handle:
        handle.write(json.dumps(event, ensure_ascii=False) + "\n")
    write_json(case / JOB, job.model_dump(mode="json"))
    return job


def read_events(case: Path, after: int = 0) -> list[dict]:
    """Events number `after + 1` and later, in order. A line that is still being written is left for the next call."""
    try:
        text = (case / EVENTS).read_text("utf-8")
    except OSError:
        return []
    return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()[after:]]


@contextlib.contextmanager
def working_on(case: Path, patience_s: float = 0.0) -> Iterator[bool]:
    """Hold the case's lock; False when another process holds it."""
    deadline = time.monotonic() + patience_s
    with open(case / LOCK, "a+b") as handle:
        while not (free := locked(handle.fileno())) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield free


def locked(descriptor: int) -> bool:
    """Take an exclusive lock if it is free; it ends with the process."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_worked_on(case: Path) -> bool:
    """Whether a living process holds the case."""
    if not (case / LOCK).exists():
        return False
    with working_on(case) as free:
        return not free


def stage_of(message: str) -> str:
    """The stage a progress message belongs to: what stands before its first colon or comma."""
    return re.split("[:,]", message, maxsplit=1)[0].strip()


def reporter(case: Path, job: Job) -> tuple[Progress, Callable[[], Job]]:
    """A progress that writes the job's files, and a look at the job as last written."""
    last = job
    written_s = 0.0

    def progress(fraction: float, message: str) -> None:
        nonlocal last, written_s
        stage = stage_of(message) or last.stage
        fraction = min(max(float(fraction), last.fraction), 1.0)
        if stage == last.stage and time.monotonic() - written_s < QUIET_S:
            return
        written_s = time.monotonic()
        last = write_job(case, last, stage=stage, fraction=fraction, message=message)

    return progress, lambda: last


def reconstruct(case: Path, job: Job, progress: Progress) -> None:
    """Upload to head, then its standard views (thumbnail, and what is shown where there is no WebGL)."""
    import previsage

    options = {k: v for k, v in job.options.model_dump().items() if v is not None}
    previsage.reconstruct([case / name for name in job.inputs], case, previsage.ReconstructOptions(**options),
                          progress=part(progress, 0.0, 0.93))
    previsage.render_views(case, None, "standard", None, progress=part(progress, 0.93, 1.0))


def predict(case: Path, job: Job, progress: Progress) -> None:
    """Plan to morphable head, with its standard views."""
    import previsage

    if job.plan is None:
        raise PrevisageError("no_plan", "The request names no plan.", "Choose a procedure.")
    previsage.predict(case, job.plan, progress=progress)


WORK: dict[str, Callable[[Path, Job, Progress], None]] = {"reconstruct": reconstruct, "predict": predict}


def run(case: Path) -> Job | None:
    """Do the queued work of a case and store how it ended. None: nothing is queued, or another process is at it."""
    with working_on(case, patience_s=2.0) as free:  # a look by the server holds the lock for a moment
        job = read_job(case)
        if not free or job is None or job.state != "queued":
            return None
        job = write_job(case, job, state="running", stage="start", fraction=0.0, message="start: loading the programs",
                        error=None, pid=os.getpid(), attempt=job.attempt + 1)
        progress, now = reporter(case, job)
        try:
            WORK[job.kind](case, job, progress)
        except Exception as error:
            traceback.print_exc()  # to CASE/job.log; a person reads the sentence below
            return write_job(case, now(), state="refused" if isinstance(error, InputRefused) else "failed",
                             error=problem_of(error), message=problem_of(error).message, pid=None)
        return write_job(case, now(), state="done", fraction=1.0, message="done", pid=None)


def problem_of(error: Exception) -> Problem:
    """An error in words for the person at the screen."""
    if isinstance(error, PrevisageError):
        return Problem(code=error.code, message=error.message, hint=error.hint)
    if isinstance(error, MemoryError):
        return Problem(code="out_of_memory", message="This computer's memory is too small for this input.",
                       hint="Close other programs, or use a shorter or smaller video.")
    return Problem(code="internal", message="Previsage itself failed; the upload is kept.",
                   hint=f"Try again; if it fails again, report it with job.log of this case ({type(error).__name__}).")


def main(arguments: list[str]) -> int:
    """Exit code 0 done, 1 failed, 3 input refused; 2 when the call is wrong or nothing is queued."""
    if len(arguments) != 1 or not (Path(arguments[0]) / JOB).is_file():
        print("usage: python -m previsage.job CASE (a case with a job.json)", file=sys.stderr)
        return 2
    job = run(Path(arguments[0]))
    return 2 if job is None else {"done": 0, "refused": 3}.get(job.state, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
