"""The embedded demo and its page; the head's film is the shared clip, so that only what is new here is made."""

import functools
import html
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import previsage
from core.case import Case
from core.files import read_json
from core.store import load_npz
from previsage import demo, pictures, recipe
from previsage.doctor import disk, examine
from previsage.portrait import portrait, portrait_head
from render.turntable import TurntableOptions
from tests.previsage.made import FAST


@pytest.fixture(scope="module")
def shown(made_case: Path, demo_video: Path, tmp_path_factory: pytest.TempPathFactory):
    """The demo's case and record, with a small turntable, from the head that is there."""
    case = tmp_path_factory.mktemp("demo") / "case"
    shutil.copytree(made_case, case)

    def film(folder: Path, progress: object) -> None:
        for name in ("video.mp4", "truth.npz"):
            shutil.copy(demo_video.with_name(name), folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "film_portrait", film)
        patch.setattr(demo.recipe, "reconstruct", functools.partial(recipe.reconstruct, options=FAST))
        patch.setattr(pictures, "TURNTABLE", TurntableOptions(frames=4, size_wh=(120, 150)))
        yield case, previsage.make_demo(case)


def test_the_truth_is_near(shown) -> None:
    case, record = shown
    assert 0 < record["error_mm"]["shape"]["mean"] < 1.5 and record["error_mm"]["metric"]["mean"] < 3
    assert abs(record["scale_error_percent"]) < 3 * record["scale"]["interval95_percent"] / 1.96
    assert set(record["seconds"]) == {"film", "reconstruct", "predict", "turntable"}
    assert read_json(case / "demo.json")["error_mm"] == record["error_mm"]


def test_the_page_tells_everything_and_needs_nothing_from_outside(shown) -> None:
    case, record = shown
    page = (case / "summary.html").read_text("utf-8")
    text = html.unescape(re.sub("<[^>]*>", " ", page))
    for said in ("not a promise of the result", "landed", "95 %", "Seconds per stage", "reprojection", "Limits",
                 f"{record['error_mm']['shape']['mean']:.2f} mm", "mediapipe", "previsage serve --cases"):
        assert said in text, said
    sources = re.findall(r'(?:src|href)="([^"]{0,200})', page)
    assert len(sources) == 5 and not any(s.startswith(("http", "//", "/")) for s in sources)
    assert [s for s in sources if not s.startswith("data:image/jpeg;base64,")] == [
        "plans/rhinoplasty/views/turntable.mp4"]
    assert (case / "plans/rhinoplasty/views/turntable.mp4").is_file()
    assert page.count("<tr>") > 30 and len(page) < 4_000_000


def test_the_film_is_a_stage_of_the_case(shown) -> None:
    case, _ = shown
    assert Case(case).stage_key("demo") and Case(case).plan_ids() == ["nose", "rhinoplasty"]


def test_the_portrait_wears_its_skin(demo_video: Path) -> None:
    head = portrait_head(side=512)
    assert np.array_equal(head.texture.rgb, portrait_head(side=512).texture.rgb), "the same in every run"
    assert portrait().shape == (1152, 1152, 3)
    width = np.ptp(head.landmarks478_mm[[234, 454], 0])
    assert 110 < width < 170, "a face in millimetres"
    assert head.landmarks478_mm.shape == load_npz(demo_video.with_name("truth.npz"))["landmarks478"].shape
    eye = head.texture.sample(head.mesh.uv[:1]) * 0 + head.texture.rgb.mean((0, 1))
    assert (np.ptp(eye) > 20).all(), "skin has colour"


def test_the_doctor_finds_this_installation_sound_and_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {c.name: c for c in examine()}
    assert {"python", "mediapipe", "open3d", "head model anny", "web pages", "free disk", "pyvista"} <= set(found)
    assert found["mediapipe"].state == "ok" and found["head model anny"].state == "ok"
    monkeypatch.setattr("previsage.doctor.installed", lambda name: None if name in ("av", "torch") else "1")
    found = {c.name: c for c in examine()}
    assert (found["av"].state, found["torch"].state) == ("missing", "optional") and "pip install" in found["torch"].hint


def test_a_nearly_full_disk_is_pointed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk(tmp_path).name == "free disk"
    monkeypatch.setattr("previsage.doctor.ENOUGH_GB", 1e9)
    assert disk(tmp_path).state == "missing" and "GB" in disk(tmp_path).hint
