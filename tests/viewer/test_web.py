"""The server: who may ask, what may be fetched, uploads, jobs as child processes, events that can be resumed."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from core.case import Case
from core.errors import UsageError
from previsage import job as jobs
from previsage.job import FINAL, Job, read_job, write_job
from tests.viewer.prepared import prepare
from viewer.web import queue as queues
from viewer.web import server, upload
from viewer.web.server import create_app, serve

CHANGES = {"X-Previsage": "1"}
API = "/api/v1"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(tmp_path / "cases"), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cases").mkdir(exist_ok=True)
    return tmp_path / "cases"


def problem(response) -> tuple[int, str]:
    """Status and code; every error must be a problem document with a sentence."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    assert response.json()["title"].endswith("."), response.text
    return response.status_code, response.json()["code"]


def send(web: TestClient, *files: tuple[str, bytes], headers: dict = CHANGES, **fields: str):
    return web.post(f"{API}/cases", files=[("files", (name, content)) for name, content in files], data=fields,
                    headers=headers)


def settled(case: Path, seconds: float = 60) -> Job:
    """The job once it has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job = read_job(case)
        if job is not None and job.state in FINAL:
            return job
        time.sleep(0.05)
    raise AssertionError(f"not settled: {read_job(case)}")


def events(text: str) -> list[tuple[str | None, str, dict]]:
    """Server-sent events as (id, name, data)."""
    out = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            out.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    return out


class TestWhoMayAsk:
    def test_only_this_computer_is_listened_on(self, tmp_path: Path) -> None:
        for host in ("0.0.0.0", "192.168.1.5", "::", "example.com"):
            with pytest.raises(UsageError, match="accounts and TLS") as refused:
                serve(tmp_path / "cases", host, 8000)
            assert refused.value.exit_code == 2
        assert all(server.is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "127.0.0.9"))
        assert not (tmp_path / "cases").exists()

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:8000", "", "localhost@evil"])
    def test_another_name_is_refused(self, web: TestClient, host: str) -> None:
        assert problem(web.get(f"{API}/cases", headers={"Host": host})) == (403, "not_permitted")

    @pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000"])
    def test_the_names_of_this_computer_are_served(self, web: TestClient, host: str) -> None:
        assert web.get(f"{API}/cases", headers={"Host": host}).json() == {"cases": []}

    @pytest.mark.parametrize("headers", [
        {}, {**CHANGES, "Origin": "http://evil.example"}, {**CHANGES, "Origin": "null"},
        {**CHANGES, "Origin": "http://127.0.0.1:9999"}, {**CHANGES, "Sec-Fetch-Site": "cross-site"},
        {**CHANGES, "Sec-Fetch-Site": "same-site"}])
    def test_a_change_from_elsewhere_is_refused(self, web: TestClient, root: Path, headers: dict) -> None:
        assert problem(send(web, ("a.mp4", b"x"), headers=headers)) == (403, "not_permitted")
        assert problem(web.delete(f"{API}/cases/x", headers=headers)) == (403, "not_permitted")
        assert not list(root.iterdir())

    def test_another_site_may_not_even_read(self, web: TestClient) -> None:
        assert problem(web.get(f"{API}/cases", headers={"Sec-Fetch-Site": "cross-site"})) == (403, "not_permitted")
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert web.get("/", headers=link).status_code in (200, 503)  # a link to the page itself is harmless

    def test_every_answer_carries_the_headers(self, web: TestClient) -> None:
        for path in (f"{API}/cases", f"{API}/cases/none", f"{API}/nothing", "/", "/none.js"):
            headers = web.get(path).headers
            policy = headers["content-security-policy"]
            assert "script-src 'self'" in policy and "unsafe" not in policy and "connect-src 'self' blob:" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers.get("cache-control") == "no-store" or not path.startswith(API)

    def test_a_case_is_not_a_folder_of_cases(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="itself a case"):
            create_app(Case.create(tmp_path / "one", {}).folder)


class TestWhatMayBeFetched:
    def test_the_list_and_the_case(self, web: TestClient, root: Path) -> None:
        prepare(root)
        (row,) = web.get(f"{API}/cases").json()["cases"]
        assert (row["id"], row["state"], row["plan_count"]) == ("prepared", "ready", 1)
        case = web.get(f"{API}/cases/prepared").json()
        assert case["scale"]["source"] == "iris" and case["scale"]["interval95_percent"] == pytest.approx(196 * 0.0437)
        assert [s["value"] for s in case["plans"][0]["steps"]] == [2.42, 8.25, 0.0]
        assert case["plans"][0]["views"] == ["front"] and case["plans"][0]["warnings"]

    def test_heads_are_compressed_and_tagged(self, web: TestClient, root: Path) -> None:
        case = prepare(root)
        url = f"{API}/cases/prepared/files/plans/rhinoplasty-1/predicted.glb"
        whole = (case.plan("rhinoplasty-1") / "predicted.glb").read_bytes()
        packed = web.get(url, headers={"Accept-Encoding": "gzip"})
        plain = web.get(url, headers={"Accept-Encoding": "identity"})
        assert packed.content == plain.content == whole and packed.headers["content-type"] == "model/gltf-binary"
        assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
        assert int(packed.headers["content-length"]) < len(whole) and packed.headers["etag"] != plain.headers["etag"]
        again = web.get(url, headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]})
        assert again.status_code == 304 and not again.content
        assert web.get(f"{API}/cases/prepared/files/head.glb").status_code == 200

    def test_a_small_picture_stands_for_a_case(self, web: TestClient, root: Path) -> None:
        case = prepare(root)
        url = f"{API}/cases/prepared/files/thumbnail.jpg"
        assert problem(web.get(url)) == (404, "no_file")
        frames = case.folder / "capture" / "frames"
        frames.mkdir(parents=True)
        (frames / "0001.png").write_bytes((case.plan("rhinoplasty-1") / "views" / "front.png").read_bytes())
        assert web.get(url).headers["content-type"] == "image/jpeg"

    @pytest.mark.parametrize("name", [
        "case.json", "recon/surface.npz", "job.json", "upload/0001.mp4", "../prepared/recon/head.glb",
        "..%2f..%2fsecret",
        "plans/..%2f..%2frecon/predicted.glb", "plans/../predicted.glb", "views/..%2fcase.json", "%2fetc%2fpasswd",
        "plans/rhinoplasty-1/views/..%5c..%5ccase.json", "plans/rhinoplasty-1/views/front.txt", "head.glb/",
        "HEAD.GLB"])
    def test_nothing_else_can_be_fetched(self, web: TestClient, root: Path, name: str) -> None:
        prepare(root)
        (root.parent / "secret").write_text("secret")
        assert web.get(f"{API}/cases/prepared/files/{name}").status_code == 404

    @pytest.mark.parametrize("name", ["..", "%2e%2e", ".hidden", "a%2fb", "a" * 65, "no", "%00", "prepared%0a"])
    def test_a_case_is_named_by_its_pattern(self, web: TestClient, root: Path, name: str) -> None:
        prepare(root)
        assert web.get(f"{API}/cases/{name}").status_code == 404
        assert web.get(f"{API}/cases/{name}/files/head.glb").status_code == 404

    def test_a_link_out_of_the_folder_is_not_followed(self, web: TestClient, root: Path) -> None:
        case = prepare(root)
        (root.parent / "secret.png").write_text("secret")
        (case.plan("rhinoplasty-1") / "views" / "out.png").symlink_to(root.parent / "secret.png")
        url = f"{API}/cases/prepared/files/plans/rhinoplasty-1/views"
        assert web.get(f"{url}/front.png").status_code == 200 and web.get(f"{url}/out.png").status_code == 404

    def test_a_damaged_case_does_not_hide_the_others(self, web: TestClient, root: Path) -> None:
        prepare(root, "good")
        prepare(root, "bad")
        (root / "bad" / "case.json").write_text("{")
        rows = {row["id"]: row for row in web.get(f"{API}/cases").json()["cases"]}
        assert (rows["good"]["state"], rows["bad"]["state"]) == ("ready", "damaged") and rows["bad"]["error"]["hint"]

    def test_deleting_leaves_nothing(self, web: TestClient, root: Path) -> None:
        prepare(root)
        assert web.delete(f"{API}/cases/prepared", headers=CHANGES).status_code == 204
        assert not list(root.iterdir())
        assert problem(web.get(f"{API}/cases/prepared")) == (404, "no_case")

    def test_unknown_addresses_are_problems(self, web: TestClient) -> None:
        assert problem(web.get(f"{API}/nothing")) == (404, "no_such_address")
        assert problem(web.post("/api/nothing", headers=CHANGES)) == (404, "no_such_address")


class TestUploads:
    @pytest.fixture(autouse=True)
    def nothing_is_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(queues.Queue, "start", lambda self: None)

    def test_a_video_is_kept_byte_for_byte_under_our_name(self, web: TestClient, root: Path) -> None:
        content = os.urandom(300_000) + b"\r\n--boundary\r\n"
        answer = send(web, ("../../Anna Müller.MOV", content), label="A-17", ipd_mm="63.5")
        assert answer.status_code == 202 and answer.headers["retry-after"]
        (case,) = root.iterdir()
        assert answer.headers["location"] == f"{API}/cases/{case.name}/job" and answer.json()["label"] == "A-17"
        assert [p.name for p in (case / "upload").iterdir()] == ["0001.mov"]
        assert (case / "upload" / "0001.mov").read_bytes() == content
        job = read_job(case)
        assert job is not None and job.inputs == ["upload/0001.mov"] and job.options.ipd_mm == 63.5
        assert not any(b"Anna" in p.read_bytes() for p in case.rglob("*") if p.is_file())
        assert web.get(f"{API}/cases").json()["cases"][0]["state"] == "queued"

    def test_photos_keep_their_order(self, web: TestClient, root: Path) -> None:
        assert send(web, ("left.jpg", b"1"), ("front.HEIC", b"2"), ("right.png", b"3")).status_code == 202
        (case,) = root.iterdir()
        kept = {p.name: p.read_bytes() for p in (case / "upload").iterdir()}
        assert kept == {"0001.jpg": b"1", "0002.heic": b"2", "0003.png": b"3"}

    @pytest.mark.parametrize(("files", "fields", "wanted"), [
        ([("notes.txt", b"x")], {}, (415, "unknown_file_type")),
        ([("page.html", b"x")], {}, (415, "unknown_file_type")),
        ([("nosuffix", b"x")], {}, (415, "unknown_file_type")),
        ([], {"label": "x"}, (415, "no_form")),
        ([("a.mp4", b"x"), ("b.mp4", b"x")], {}, (422, "one_video")),
        ([("a.mp4", b"x"), ("b.jpg", b"x")], {}, (422, "one_video")),
        ([("a.jpg", b"")], {}, (422, "empty_file")),
        ([("a.mp4", b"x")], {"ipd_mm": "12"}, (422, "invalid_option")),
        ([("a.mp4", b"x")], {"ipd_mm": "nan"}, (422, "invalid_option")),
        ([("a.mp4", b"x")], {"model": "../x"}, (422, "invalid_option")),
        ([("a.mp4", b"x")], {"label": "x" * 2000}, (413, "field_too_long")),
        ([(f"{i}.jpg", b"x") for i in range(upload.MAX_PHOTOS + 1)], {}, (413, "too_many_files")),
    ])
    def test_what_is_refused_leaves_nothing(self, web: TestClient, root: Path, files: list, fields: dict,
                                            wanted: tuple[int, str]) -> None:
        assert problem(send(web, *files, **fields)) == wanted
        assert not list(root.iterdir())

    def test_too_large_is_refused_by_its_length_and_while_it_comes(
            self, web: TestClient, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upload, "LIMIT_BYTES", 100_000)
        assert problem(send(web, ("a.mp4", b"x" * 100_001))) == (413, "too_large")
        form = {"Content-Type": "multipart/form-data; boundary=b", **CHANGES}
        start = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
        chunks = (piece for piece in [start, *[b"x" * 10_000] * 20])  # a generator has no length to declare
        assert problem(web.post(f"{API}/cases", content=chunks, headers=form)) == (413, "too_large")
        assert not list(root.iterdir())

    def test_a_broken_form_is_refused(self, web: TestClient, root: Path) -> None:
        form = {"Content-Type": "multipart/form-data; boundary=b", **CHANGES}
        assert problem(web.post(f"{API}/cases", content=b"no form at all", headers=form)) == (400, "damaged_form")
        cut = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\nhalf of it'
        assert problem(web.post(f"{API}/cases", content=cut, headers=form)) == (400, "cut_off")
        assert not list(root.iterdir())


class TestJobs:
    def test_a_file_that_is_no_video_is_refused_in_words(self, web: TestClient, root: Path) -> None:
        case = root / send(web, ("clip.mp4", b"this is a text file\n" * 500)).json()["id"]
        job = settled(case)
        assert (job.state, job.attempt) == ("refused", 1), (job, (case / "job.log").read_text())
        assert job.error is not None and job.error.code and job.error.message and job.error.hint
        stream = events(web.get(f"{API}/cases/{case.name}/events").text)
        assert [e[2]["state"] for e in stream[:2]] == ["queued", "running"] and stream[-1][1] == "end"
        assert stream[-1][2]["error"] == job.error.model_dump() and "pid" not in stream[-1][2]
        assert web.get(f"{API}/cases/{case.name}").json()["state"] == "refused"

    def test_predict_needs_a_head_and_a_plan(self, web: TestClient, root: Path) -> None:
        Case.create(root / "empty", {})
        prepare(root)
        asked = {"procedures": [{"procedure": "rhinoplasty", "intensity": 50}]}
        url = f"{API}/cases/prepared/predict"
        assert problem(web.post(f"{API}/cases/empty/predict", json=asked, headers=CHANGES)) == (409, "no_head")
        for wrong in ({}, {"procedures": []}, {"procedures": [{"procedure": "x", "intensity": 101}]},
                      {"procedures": [{"procedure": "x", "extra": 1}]}, {"id": "../x", **asked}):
            assert problem(web.post(url, json=wrong, headers=CHANGES)) == (422, "invalid_request")
        out = {"procedures": [{"procedure": "../../x"}]}
        assert problem(web.post(url, json=out, headers=CHANGES)) == (422, "unknown_procedure")
        assert read_job(root / "prepared") is None

    def test_one_job_at_a_time_for_a_case(self, web: TestClient, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        prepare(root)
        with jobs.working_on(root / "prepared") as free:
            assert free
            write_job(root / "prepared", Job(kind="predict", state="running"))
            asked = {"procedures": [{"procedure": "rhinoplasty"}]}
            answer = web.post(f"{API}/cases/prepared/predict", json=asked, headers=CHANGES)
            assert problem(answer) == (409, "busy")
            assert problem(web.delete(f"{API}/cases/prepared", headers=CHANGES)) == (409, "busy")
            assert problem(web.post(f"{API}/cases/prepared/job/retry", headers=CHANGES)) == (409, "busy")

    def test_events_go_on_where_the_browser_stopped(self, web: TestClient, root: Path) -> None:
        case = prepare(root).folder
        job = Job(kind="predict")
        for stage, fraction in (("read", 0.1), ("move", 0.5), ("draw", 0.9)):
            job = write_job(case, job, state="running", stage=stage, fraction=fraction)
        write_job(case, job, state="done", fraction=1.0)
        url = f"{API}/cases/prepared/events"
        whole = events(web.get(url).text)
        assert [(e[0], e[1]) for e in whole] == [("1", "job"), ("2", "job"), ("3", "job"), ("4", "job"), (None, "end")]
        assert [e[2]["fraction"] for e in whole] == [0.1, 0.5, 0.9, 1.0, 1.0]
        rest = events(web.get(url, headers={"Last-Event-ID": "2"}).text)
        assert rest == whole[2:]
        assert events(web.get(url, headers={"Last-Event-ID": "junk"}).text) == whole

    def test_a_line_being_written_is_not_read(self, root: Path) -> None:
        case = prepare(root).folder
        write_job(case, Job(kind="predict"))
        with open(case / jobs.EVENTS, "a") as handle:
            handle.write('{"half": ')
        assert len(jobs.read_events(case)) == 1


def instead_of_job(folder: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """The queue's processes run `program` in place of `previsage.job`."""
    package, plain = folder / "program" / "previsage", queues.environment
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "job.py").write_text(program)
    monkeypatch.setattr(queues, "environment", lambda: {**plain(), "PYTHONPATH": str(package.parent)})


class TestInterruptions:
    """Real child processes; a sleeper stands in for work that takes long."""

    @pytest.fixture
    def slow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A program in place of `previsage.job` that says it runs, starts a child of its own, and never ends."""
        instead_of_job(
            tmp_path, monkeypatch,
            "import fcntl, json, os, pathlib, subprocess, sys, time\n"
            "case = pathlib.Path(sys.argv[1]); lock = open(case / 'job.lock', 'a+b')\n"
            "fcntl.flock(lock, fcntl.LOCK_EX)\n"
            "job = json.loads((case / 'job.json').read_text())\n"
            "job |= {'state': 'running', 'pid': os.getpid(), 'attempt': job['attempt'] + 1}\n"
            "grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
            "(case / 'grandchild').write_text(str(grandchild.pid))\n"
            "(case / 'new.json').write_text(json.dumps(job)); os.replace(case / 'new.json', case / 'job.json')\n"
            "time.sleep(600)\n")

    def wait_running(self, case: Path) -> Job:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            job = read_job(case)
            if job is not None and job.state == "running":
                return job
            time.sleep(0.02)
        raise AssertionError((case / "job.log").read_text())

    def gone(self, pid: int) -> bool:
        """Whether a process has ended (a zombie has)."""
        for _ in range(100):
            try:
                if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
            except OSError:
                return True
            time.sleep(0.05)
        return False

    @pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes under /proc")
    def test_cancel_ends_the_job_and_what_it_started(self, web: TestClient, root: Path, slow: None) -> None:
        case = root / send(web, ("a.mp4", b"x")).json()["id"]
        job = self.wait_running(case)
        answer = web.post(f"{API}/cases/{case.name}/job/cancel", headers=CHANGES)
        assert answer.status_code == 202 and answer.json()["state"] == "cancelled"
        assert job.pid is not None and self.gone(job.pid) and self.gone(int((case / "grandchild").read_text()))
        assert problem(web.post(f"{API}/cases/{case.name}/job/cancel", headers=CHANGES)) == (409, "not_running")
        assert events(web.get(f"{API}/cases/{case.name}/events").text)[-1][2]["state"] == "cancelled"

    @pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes under /proc")
    def test_a_waiting_job_can_be_cancelled_and_asked_again(self, web: TestClient, root: Path, slow: None) -> None:
        first = root / send(web, ("a.mp4", b"x")).json()["id"]
        self.wait_running(first)
        second = root / send(web, ("b.mp4", b"x")).json()["id"]
        time.sleep(0.3)
        assert read_job(second).state == "queued", "one job at a time"
        assert web.post(f"{API}/cases/{second.name}/job/cancel", headers=CHANGES).json()["state"] == "cancelled"
        assert web.post(f"{API}/cases/{first.name}/job/cancel", headers=CHANGES).json()["state"] == "cancelled"
        assert web.post(f"{API}/cases/{second.name}/job/retry", headers=CHANGES).status_code == 202
        assert self.wait_running(second).attempt == 1
        web.post(f"{API}/cases/{second.name}/job/cancel", headers=CHANGES)

    def test_a_crash_is_tried_once_more_and_then_told(self, web: TestClient, root: Path, slow: None) -> None:
        case = root / send(web, ("a.mp4", b"x")).json()["id"]
        for attempt in (1, 2):
            job = self.wait_running(case)
            assert job.attempt == attempt and job.pid is not None
            write_job(case, job, stage="crash")  # so that the next wait sees the next run
            os.killpg(job.pid, signal.SIGKILL)
            deadline = time.monotonic() + 20
            while read_job(case).pid == job.pid and time.monotonic() < deadline:
                time.sleep(0.02)
        last = settled(case)
        assert (last.state, last.error.code) == ("failed", "interrupted")
        states = [e["state"] for e in jobs.read_events(case)]
        assert states.count("interrupted") == 2 and states[-1] == "failed"

    def test_a_server_that_stops_leaves_the_job_for_the_next(self, root: Path, slow: None) -> None:
        with TestClient(create_app(root), base_url="http://127.0.0.1:8000") as web:
            case = root / send(web, ("a.mp4", b"x")).json()["id"]
            pid = self.wait_running(case).pid
        job = read_job(case)
        assert (job.state, job.attempt, job.pid) == ("queued", 0, None) and pid is not None and self.gone(pid)

    def test_a_killed_server_s_job_is_started_again(self, root: Path) -> None:
        case = prepare(root).folder
        write_job(case, Job(kind="predict", state="running", attempt=1, pid=2**22 + 1))
        with TestClient(create_app(root), base_url="http://127.0.0.1:8000"):
            job = settled(case)  # no plan: it fails, but it ran
        assert (job.state, job.error.code, job.attempt) == ("failed", "no_plan", 2)
        assert [e["state"] for e in jobs.read_events(case)][:4] == ["running", "interrupted", "queued", "running"]

    def test_a_living_child_of_a_killed_server_is_let_finish(self, root: Path) -> None:
        case = prepare(root).folder
        write_job(case, Job(kind="predict", state="running", attempt=1))
        with jobs.working_on(case) as free, TestClient(create_app(root), base_url="http://127.0.0.1:8000") as web:
            time.sleep(1.2)  # the server looks every half second
            assert free and read_job(case).state == "running"
            write_job(case, read_job(case), state="done")
            assert web.get(f"{API}/cases/prepared").json()["state"] == "ready"

    def test_too_long_is_ended(self, web: TestClient, root: Path, slow: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(queues, "LIMIT_S", 1.5)
        case = root / send(web, ("a.mp4", b"x")).json()["id"]
        assert settled(case).error.code == "too_long"

    def test_work_asked_for_while_the_last_process_leaves_is_not_lost(
            self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process has told its end and is about to exit; the person is quicker and asks for the next thing."""
        instead_of_job(
            tmp_path, monkeypatch,
            "import json, pathlib, sys\n"
            "file = pathlib.Path(sys.argv[1]) / 'job.json'; job = json.loads(file.read_text())\n"
            "first = not (file.parent / 'was_here').exists(); (file.parent / 'was_here').touch()\n"
            "job |= {'id': 'next', 'state': 'queued'} if first else {'state': 'done'}\n"
            "whole = file.with_suffix('.new'); whole.write_text(json.dumps(job)); whole.replace(file)\n")
        case = root / "20260101-000000-abcdef"
        case.mkdir()
        write_job(case, Job(kind="reconstruct", inputs=["upload/a.mp4"]))
        with TestClient(create_app(root), base_url="http://127.0.0.1"):
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and (job := read_job(case)) is not None and job.state not in FINAL:
                time.sleep(0.05)
        assert job is not None and (job.id, job.state) == ("next", "done")


class TestJobProcess:
    def test_a_wrong_call_says_how(self, tmp_path: Path) -> None:
        done = subprocess.run([sys.executable, "-m", "previsage.job", str(tmp_path)], capture_output=True, text=True)
        assert done.returncode == 2 and "usage" in done.stderr

    def test_only_queued_work_is_done(self, root: Path) -> None:
        case = prepare(root).folder
        write_job(case, Job(kind="predict", state="cancelled"))
        assert jobs.run(case) is None and read_job(case).state == "cancelled"

    def test_progress_is_monotone_and_names_the_stage(self, root: Path) -> None:
        case = prepare(root).folder
        progress, now = jobs.reporter(case, write_job(case, Job(kind="predict"), state="running"))
        for fraction, message in ((0.1, "landmarks, frame 1"), (0.15, "landmarks, frame 2"), (0.05, "fit: shape"),
                                  (2.0, "texture")):
            progress(fraction, message)
        told = [(e["stage"], e["fraction"]) for e in jobs.read_events(case)][1:]
        assert told == [("landmarks", 0.1), ("fit", 0.1), ("texture", 1.0)] and now().stage == "texture"

    def test_an_unknown_failure_keeps_its_trace_for_the_log(
            self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
        case = prepare(root).folder

        def broken(case: Path, job: Job, progress: object) -> None:
            raise ZeroDivisionError("secret detail")

        monkeypatch.setitem(jobs.WORK, "predict", broken)
        write_job(case, Job(kind="predict"))
        job = jobs.run(case)
        assert job.state == "failed" and job.error.code == "internal" and "secret" not in job.error.message
        assert "ZeroDivisionError: secret detail" in capsys.readouterr().err


def test_the_pages_are_served_when_built(web: TestClient) -> None:
    page = web.get("/")
    if not (server.STATIC / "index.html").is_file():
        assert problem(page) == (503, "no_pages")
        pytest.skip("the client is not built: npm ci && npm run build in viewer/web/client")
    assert page.status_code == 200 and "<script" in page.text and "http" not in page.text
    script = page.text.split('src="')[1].split('"')[0]
    answer = web.get(script, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip" and "immutable" in answer.headers["cache-control"]
    assert len(gzip.compress(answer.content)) < 250_000
    assert web.get("/assets/../../server.py").status_code == 404
