"""The web server: cases, uploads, jobs and files under /api/v1, and the pages of the client. For this computer only."""

import asyncio
import contextlib
import datetime
import gzip
import hashlib
import importlib.metadata
import io
import ipaddress
import json
import shutil
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, FastAPI, Request
from fastapi.staticfiles import StaticFiles
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, Response, StreamingResponse

from core.case import Case
from core.errors import PrevisageError, UsageError
from core.plan import FreeMove, Override, Plan, PlannedFlag, PlannedProcedure
from previsage.job import FINAL, Job, Options, read_events, read_job
from viewer.web import cases as folders
from viewer.web import problems
from viewer.web.problems import Refused
from viewer.web.queue import Queue, new_case_files
from viewer.web.security import LOOPBACK, Guard
from viewer.web.upload import Upload, receive_form

STATIC = Path(__file__).parent / "static"
INCOMING = ".incoming-"
KEEP_ALIVE_S = 15.0
LOOK_S = 0.2
THUMBNAIL_PX = 400
MEDIA = {".glb": "model/gltf-binary", ".png": "image/png", ".jpg": "image/jpeg"}


class PredictRequest(BaseModel):
    """What a person asks to see. The server names the plan."""

    model_config = ConfigDict(extra="forbid")

    procedures: Annotated[list[PlannedProcedure], Field(max_length=20)] = []
    free: Annotated[list[FreeMove], Field(max_length=40)] = []
    flags: Annotated[list[PlannedFlag], Field(max_length=40)] = []
    overrides: Annotated[list[Override], Field(max_length=40)] = []
    overlap: Literal["sum", "in_turn"] = "sum"
    topology: str | None = None

    def plan(self, plan_id: str = "plan") -> Plan:
        """The same as a plan of that name."""
        return Plan.model_validate({"id": plan_id, **self.model_dump(mode="json")})

    @model_validator(mode="after")
    def fits_together(self) -> "PredictRequest":
        """What is asked for makes a plan."""
        self.plan()
        return self


def create_app(cases: Path) -> FastAPI:
    """The application over a folder of cases, which is made if it is not there.

    UsageError: the folder is itself a case.
    """
    root = Path(cases)
    if (root / "case.json").is_file():
        raise UsageError("is_a_case", f"{root} is itself a case.", f"Serve the folder around it: --cases {root.parent}")
    root.mkdir(parents=True, exist_ok=True)
    queue = Queue(root)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for leftover in root.glob(f"{INCOMING}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        queue.start()
        yield
        await queue.stop()

    app = FastAPI(title="Previsage", version=version(), lifespan=lifespan, docs_url=None, redoc_url=None,
                  openapi_url="/api/v1/openapi.json")
    app.add_middleware(Guard)
    problems.install(app)
    app.include_router(case_routes(root, queue), prefix="/api/v1")
    app.include_router(job_routes(root, queue), prefix="/api/v1")
    app.include_router(file_routes(root), prefix="/api/v1")
    mount_pages(app)
    return app


def serve(cases: Path, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve until stopped. UsageError: a host other than this computer. PrevisageError: the port is taken."""
    check_address(host, port)
    import uvicorn

    uvicorn.run(create_app(cases), host=host, port=port, log_level="warning", server_header=False,
                timeout_graceful_shutdown=3)


def check_address(host: str, port: int) -> None:
    """UsageError: a host other than this computer. PrevisageError: the port is taken."""
    if not is_loopback(host):
        raise UsageError("not_loopback", f"Previsage does not listen on {host}: until it has accounts and TLS, anyone "
                         "on the network could see the patients.", "Leave --host out, or give 127.0.0.1.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PrevisageError("port_taken", f"Nothing can be served at {host}, port {port}: {error.strerror}.",
                                 "Another server may run there; give another --port.") from error


def is_loopback(host: str) -> bool:
    """Whether an address is this computer's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK


def version() -> str:
    """The installed version, or `source` in a checkout."""
    try:
        return importlib.metadata.version("previsage")
    except importlib.metadata.PackageNotFoundError:
        return "source"


def case_routes(root: Path, queue: Queue) -> APIRouter:
    """List, upload, show, delete."""
    router = APIRouter()

    @router.get("/cases")
    def list_cases() -> dict[str, Any]:
        return {"cases": [folders.summary(root, name) for name in folders.case_names(root)]}

    @router.post("/cases", status_code=202)
    async def upload(request: Request) -> JSONResponse:
        length = request.headers.get("content-length", "")
        name = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        incoming = root / f"{INCOMING}{name}"
        case = Case.create(incoming, {"previsage": version()})
        try:
            (incoming / "upload").mkdir()
            form = await receive_form(request.headers.get("content-type", ""),
                                      int(length) if length.isdigit() else None, request.stream(), incoming / "upload")
            new_case_files(case.folder, job_of(form), form.fields.get("label", "")[:80])
            incoming.rename(root / name)  # the case appears whole, or not at all
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        queue.wake()
        return accepted(root, name)

    @router.get("/cases/{case}")
    def show(case: str) -> dict[str, Any]:
        return folders.detail(root, case)

    @router.delete("/cases/{case}", status_code=204)
    def delete(case: str) -> None:
        folder = folders.open_case(root, case).folder
        job = read_job(folder)
        if job is not None and job.state not in FINAL:
            raise Refused(409, "busy", "This case is being worked on.", "Cancel the work first.")
        gone = root / f"{INCOMING}deleted-{uuid.uuid4().hex}"
        folder.rename(gone)
        shutil.rmtree(gone)

    return router


def job_of(form: Upload) -> Job:
    """The reconstruction that an upload's form asks for. Refused: an option outside its range."""
    given = {k: v for k, v in form.fields.items() if k != "label" and v}
    try:
        return Job(kind="reconstruct", inputs=[f"upload/{name}" for name in form.files],
                   options=Options.model_validate(given))
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused(422, "invalid_option", f"{first['loc'][-1]}: {first['msg']}.",
                      "Pupil distances lie between 40 and 85 mm.") from error


def accepted(root: Path, case: str) -> JSONResponse:
    """202: the work is queued; where to look."""
    return JSONResponse(folders.summary(root, case), 202,
                        {"Location": f"/api/v1/cases/{case}/job", "Retry-After": "1"})


def job_routes(root: Path, queue: Queue) -> APIRouter:
    """Ask for work, watch it, stop it."""
    router = APIRouter()

    @router.get("/procedures")
    def procedures() -> dict[str, Any]:
        import previsage

        return {name: p.model_dump(mode="json") for name, p in previsage.procedures().items()}

    @router.get("/flags")
    def flags() -> dict[str, Any]:
        import previsage

        return {name: f.model_dump(mode="json") for name, f in previsage.clinical_flags().items()}

    @router.post("/cases/{case}/predict", status_code=202)
    def predict(case: str, asked: Annotated[PredictRequest, Body()]) -> JSONResponse:
        opened = folders.open_case(root, case)
        if not folders.has_head(opened):
            raise Refused(409, "no_head", "This case has no head yet.", "Wait until the reconstruction is done.")
        first = asked.procedures[0].procedure if asked.procedures else "free_hand"
        plan = asked.plan(free_plan_id(opened, first))
        queue.submit(opened.folder, Job(kind="predict", plan=plan))
        return accepted(root, case)

    @router.get("/cases/{case}/job")
    def job(case: str) -> dict[str, Any]:
        found = folders.public(read_job(folders.open_case(root, case).folder))
        if found is None:
            raise Refused(404, "no_job", "Nothing was asked for this case here.")
        return found

    @router.post("/cases/{case}/job/cancel", status_code=202)
    async def cancel(case: str) -> JSONResponse:
        await queue.cancel(folders.open_case(root, case).folder)
        return accepted(root, case)

    @router.post("/cases/{case}/job/retry", status_code=202)
    def retry(case: str) -> JSONResponse:
        folder = folders.open_case(root, case).folder
        last = read_job(folder)
        if last is None:
            raise Refused(404, "no_job", "Nothing was asked for this case here.")
        queue.submit(folder, Job(kind=last.kind, inputs=last.inputs, options=last.options, plan=last.plan))
        return accepted(root, case)

    @router.get("/cases/{case}/events")
    def events(case: str, request: Request) -> StreamingResponse:
        folder = folders.open_case(root, case).folder
        seen = request.headers.get("last-event-id", "0")
        return StreamingResponse(event_stream(folder, int(seen) if seen.isdigit() else 0, queue),
                                 media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    return router


def free_plan_id(case: Case, procedure: str) -> str:
    """`procedure-n`, with the first n that no plan of the case has."""
    if not folders.NAME.fullmatch(procedure) or len(procedure) > 50:
        raise Refused(422, "unknown_procedure", "There is no such procedure.", "See /api/v1/procedures.")
    n = 1
    while case.plan(f"{procedure}-{n}").exists():
        n += 1
    return f"{procedure}-{n}"


async def event_stream(folder: Path, seen: int, queue: Queue) -> AsyncIterator[str]:
    """Server-sent events: each change of the case's job (its id is its number), then `end` with the finished job."""
    silent_s = 0.0
    while not queue.stopping:
        job = await asyncio.to_thread(read_job, folder)
        for event in await asyncio.to_thread(read_events, folder, seen):
            seen += 1
            silent_s = 0.0
            yield f"id: {seen}\nevent: job\ndata: {json.dumps(event)}\n\n"
        if job is None or job.state in FINAL:
            yield f"event: end\ndata: {json.dumps(folders.public(job))}\n\n"
            return
        if silent_s >= KEEP_ALIVE_S:
            silent_s = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_S)
        silent_s += LOOK_S


def file_routes(root: Path) -> APIRouter:
    """Heads and pictures, by a short list of names."""
    router = APIRouter()

    @router.get("/cases/{case}/files/{name:path}")
    def file(case: str, name: str, request: Request) -> Response:
        opened = folders.open_case(root, case)
        if name == "thumbnail.jpg":
            return tagged(request, shrunk(folders.thumbnail(opened)), MEDIA[".jpg"])
        path = folders.file_of(opened, name)
        return tagged(request, path.read_bytes(), MEDIA[path.suffix])

    return router


def shrunk(picture: Path | None) -> bytes:
    """A small JPEG of a picture. Refused: there is none."""
    if picture is None:
        raise Refused(404, "no_file", "There is no picture of this case yet.")
    with Image.open(picture) as image:
        small = image.convert("RGB")
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def tagged(request: Request, content: bytes, media: str) -> Response:
    """An answer with its checksum as ETag; heads are compressed, pictures are already."""
    packed = media == MEDIA[".glb"] and "gzip" in request.headers.get("accept-encoding", "")
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}{"-gzip" if packed else ""}"'
    headers = {"ETag": etag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    if packed:
        content = gzip.compress(content, 6, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=media, headers=headers)


class Pages(StaticFiles):
    """The client's files: hashed ones may be kept for ever, the page itself is asked for each time."""

    async def get_response(self, path: str, scope: Any) -> Response:
        """A file with its caching rule."""
        response = await super().get_response(path, scope)
        kept = path.startswith("assets/") and response.status_code == 200
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if kept else "no-cache"
        return response


def mount_pages(app: FastAPI) -> None:
    """Serve the built client, or say how to build it."""

    @app.api_route("/api/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    def unknown(rest: str) -> None:
        raise Refused(404, "no_such_address", "There is nothing at this address.")

    if (STATIC / "index.html").is_file():
        app.mount("/", GZipMiddleware(Pages(directory=STATIC, html=True), minimum_size=1000))
        return

    @app.get("/", include_in_schema=False)
    def missing() -> None:
        raise Refused(503, "no_pages", "The web pages are not built.",
                      "Run `npm ci && npm run build` in viewer/web/client, or install the package.")
