"""Errors as RFC 9457 problem documents: a code for machines, a sentence and what to do for people."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from core.errors import InputRefused, PrevisageError, UsageError

log = logging.getLogger(__name__)


def problem(status: int, code: str, message: str, hint: str = "") -> JSONResponse:
    """One problem document."""
    return JSONResponse({"type": "about:blank", "status": status, "code": code, "title": message, "detail": hint},
                        status, media_type="application/problem+json")


class Refused(PrevisageError):
    """A request that cannot be served now, with its HTTP status."""

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(code, message, hint)
        self.status = status

    def __reduce__(self) -> tuple:
        return (type(self), (self.status, self.code, self.message, self.hint))


def status_of(error: PrevisageError) -> int:
    """The HTTP status of an error of ours."""
    if isinstance(error, Refused):
        return error.status
    if error.code == "disk_full":
        return 507
    return 422 if isinstance(error, UsageError | InputRefused) else 500


def install(app: FastAPI) -> None:
    """Answer every error with a problem document."""

    @app.exception_handler(PrevisageError)
    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, PrevisageError)
        return problem(status_of(error), error.code, error.message, error.hint)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return problem(error.status_code, f"http_{error.status_code}", str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        said = "; ".join(f"{'.'.join(str(p) for p in e['loc'][1:])}: {e['msg']}" for e in error.errors()[:5])
        return problem(422, "invalid_request", "The request is not understood.", said)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected error", exc_info=error)
        return problem(500, "internal", "Previsage itself failed.", "Try again; the server's log says more.")
