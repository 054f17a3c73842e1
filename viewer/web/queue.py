"""The queue: one job at a time, each a child process; what the case folders say is the truth, this only acts on it.

A server that was killed leaves a running child, which the next server lets finish (it holds the case's lock), or a job
that claims to run without one, which is marked interrupted and started again once.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import core
from core.errors import PrevisageError
from core.files import write_json
from previsage.job import EVENTS, FINAL, JOB, Job, Problem, is_worked_on, read_job, write_job
from viewer.web.problems import Refused

log = logging.getLogger(__name__)
LIMIT_S = 1800.0
MAX_ATTEMPTS = 2
LOOK_S = 0.5
PATIENCE_S = 5.0


class Queue:
    """Jobs of all cases under `root`, oldest first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stopping = False
        self._child: asyncio.subprocess.Process | None = None
        self._case: Path | None = None
        self._cancelled: set[Path] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task | None = None

    def start(self) -> None:
        """Begin to work."""
        self._task = asyncio.create_task(self._loop())

    async def stop(self) -> None:
        """Stop working; the job in progress is queued again for the next start."""
        self.stopping = True
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    def submit(self, case: Path, job: Job) -> Job:
        """Queue a job. Refused: the case has one that is not finished."""
        now = read_job(case)
        if now is not None and now.state not in FINAL:
            raise Refused(409, "busy", "This case is being worked on.", "Wait for it to finish, or cancel it.")
        job = write_job(case, job, state="queued", message="waiting for its turn")
        self._wake.set()
        return job

    async def cancel(self, case: Path) -> Job:
        """Stop a job and everything it started."""
        job = read_job(case)
        if job is None or job.state in FINAL:
            raise Refused(409, "not_running", "Nothing is running for this case.")
        self._cancelled.add(case)
        ours = self._case == case
        if ours and self._child is not None:
            await end(self._child.pid, self._child)
        elif not ours and job.pid is not None and await asyncio.to_thread(is_worked_on, case):
            await end(job.pid, None)
            await self._until(lambda: not is_worked_on(case))
        if ours:
            await self._until(lambda: self._case != case)  # `_work` settles its own job
        else:
            self._settle(case, job)
        return read_job(case) or job

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, but not for ever."""
        deadline = time.monotonic() + PATIENCE_S
        while not await asyncio.to_thread(condition) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def _loop(self) -> None:
        while True:
            self._wake.clear()
            case = await asyncio.to_thread(self._next)
            if case is not None:
                await self._work(case)
                continue
            try:
                await asyncio.wait_for(self._wake.wait(), LOOK_S)
            except TimeoutError:
                continue

    def _next(self) -> Path | None:
        """The case whose turn it is; interrupted jobs are settled on the way."""
        waiting: list[tuple[float, Path]] = []
        for file in self.root.glob(f"*/{JOB}"):
            case = file.parent
            if case.name.startswith("."):
                continue
            try:
                job = read_job(case)
            except PrevisageError:
                continue  # the list of cases shows it as damaged
            if job is None or job.state in FINAL:
                continue
            if job.state != "queued":
                if is_worked_on(case):
                    return None  # a child of an earlier server: one job at a time
                job = self._settle(case, job)
            if job.state == "queued":
                waiting.append((job.created_s, case))
        return min(waiting)[1] if waiting else None

    async def _work(self, case: Path) -> None:
        """Run one job's process to its end, whatever that is."""
        self._case = case
        try:
            begun = read_job(case)
            with open(case / "job.log", "wb") as output:
                self._child = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "previsage.job", str(case), stdin=asyncio.subprocess.DEVNULL, stdout=output,
                    stderr=output, start_new_session=True, env=environment())
            late = False
            if case in self._cancelled:
                await end(self._child.pid, self._child)
            try:
                await asyncio.wait_for(self._child.wait(), LIMIT_S)
            except TimeoutError:
                late = True
                await end(self._child.pid, self._child)
            except asyncio.CancelledError:
                await end(self._child.pid, self._child)
                self._requeue(case)
                raise
            job = read_job(case)
            another = job is not None and begun is not None and job.id != begun.id  # queued before this one had left
            if job is not None and job.state not in FINAL and not another:
                self._settle(case, job, late=late, exited=self._child.returncode)
        except (OSError, PrevisageError) as error:
            log.error("the job of %s could not be run: %s", case.name, error)
            await asyncio.sleep(LOOK_S)
        finally:
            self._case = self._child = None
            self._cancelled.discard(case)

    def _requeue(self, case: Path) -> None:
        """The server stops in good order: the job goes on at its next start, and this attempt does not count."""
        job = read_job(case)
        if job is not None and job.state not in FINAL:
            write_job(case, job, state="queued", pid=None, attempt=max(0, job.attempt - 1),
                      message="waiting: the server was stopped")

    def _settle(self, case: Path, job: Job, late: bool = False, exited: int | None = None) -> Job:
        """A job without a process: cancelled, too long, never started, or interrupted (started again once)."""
        if case in self._cancelled:
            self._cancelled.discard(case)
            return write_job(case, job, state="cancelled", message="cancelled", pid=None)
        if late:
            return self._fail(case, job, "too_long", f"The work took longer than {LIMIT_S / 60:.0f} minutes.",
                              "Use a shorter video (about 10 seconds).")
        if job.state == "queued":
            return self._fail(case, job, "not_started", "The work could not be started.",
                              f"See job.log of this case (exit code {exited}).")
        job = write_job(case, job, state="interrupted", message="interrupted", pid=None)
        if job.attempt >= MAX_ATTEMPTS:
            return self._fail(case, job, "interrupted", "The work was interrupted twice.",
                              "Close other programs (it may need more memory) and try again: finished stages are kept.")
        return write_job(case, job, state="queued", message="interrupted: starting again")

    def _fail(self, case: Path, job: Job, code: str, message: str, hint: str) -> Job:
        return write_job(case, job, state="failed", message=message, pid=None,
                         error=Problem(code=code, message=message, hint=hint))


def environment() -> dict[str, str]:
    """The child finds the same packages as the server, installed or in a checkout, and none in the current folder."""
    here = str(Path(core.__file__).resolve().parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}


async def end(pid: int, child: asyncio.subprocess.Process | None) -> None:
    """End a process group: ask, wait, then kill. `child` is None when an earlier server started it."""
    signal_group(pid, final=False)
    if child is None:
        await asyncio.sleep(PATIENCE_S / 5)
    else:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), PATIENCE_S)
    signal_group(pid, final=True)  # also what the job started and did not end itself
    if child is not None:
        await child.wait()


def signal_group(pid: int, final: bool) -> None:
    """Signal everything a job started; nothing to do when it is gone already."""
    try:
        if os.name == "posix":
            os.killpg(pid, signal.SIGKILL if final else signal.SIGTERM)
        else:
            os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        log.debug("process group %s is gone", pid)


def new_case_files(case: Path, job: Job, label: str) -> None:
    """The files a case made in the browser has from its first moment."""
    write_json(case / "web.json", {"label": label})
    (case / EVENTS).touch()
    write_job(case, job, message="waiting for its turn")
