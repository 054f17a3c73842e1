"""One photo: before and after, what is refused and why, and the files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import previsage
from core import InputRefused, Plan, PlannedProcedure, PrevisageError, UsageError
from core.files import read_json
from core.plan import PlannedFlag
from previsage.photo import PhotoResult, asked_plan, begin, carried_out, seen_from_here, shown_shares, unseen, view_of
from previsage.photo_modes import NEUTRAL, average_moves, eased, region_around
from previsage.photo_output import cells_of, save_faces, save_result
from previsage.photo_sheets import every, save_every, save_sweep, sweep
from previsage.photo_study import Study
from synth.guard import Verdict, judge
from synth.photo_file import read_photo_file
from synth.provenance import verify
from tests.previsage.photos import face, portrait_file, stills


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return portrait_file(tmp_path_factory.mktemp("photo"))


@pytest.fixture(scope="module")
def study(photo: Path) -> Study:
    return begin(photo)


@pytest.fixture(scope="module")
def results(study: Study) -> dict[str, PhotoResult]:
    return {mode: carried_out(study, asked_plan("rhinoplasty", 80, None), mode) for mode in ("tps", "warp3d")}


@pytest.mark.parametrize("mode", ["tps", "warp3d"])
def test_the_result_is_documented_and_whole(results: dict[str, PhotoResult], mode: str) -> None:
    made = results[mode]
    shape = face().shape
    assert made.output.shape == made.raw.shape == made.warp.shape == made.conditioning.shape == shape
    assert made.mask.shape == shape[:2] and 0 < made.mask.mean() < 0.4
    assert made.shown and made.checks.passed and made.view == "frontal"
    assert (made.conditioning > 0).any() and not made.unchanged
    moved = np.linalg.norm(made.landmarks_after - made.landmarks_before, axis=1)
    assert moved[[2, 115, 344]].min() > 0.5 > moved[[152, 10, 234, 454]].max(), "the nose moves, the outline does not"


@pytest.mark.parametrize("mode", ["tps", "warp3d"])
def test_outside_the_mask_nothing_changes(results: dict[str, PhotoResult], mode: str) -> None:
    made = results[mode]
    changed = (made.output != made.photo.picture).any(-1)
    assert changed.any() and not changed[made.mask == 0].any()


@pytest.mark.parametrize("mode", ["tps", "warp3d"])
def test_nothing_asked_nothing_changed(study: Study, mode: str) -> None:
    assert carried_out(study, asked_plan("rhinoplasty", 0, None), mode).unchanged


@pytest.mark.parametrize("mode", ["tps", "warp3d"])
def test_eyes_stay_as_they_are(study: Study, mode: str) -> None:
    made = carried_out(study, asked_plan("brow_lift", 100, None), mode)
    for iris in (468, 473):
        x, y = np.rint(made.landmarks_before[iris]).astype(int)
        assert np.array_equal(made.output[y - 2:y + 3, x - 2:x + 3], made.photo.picture[y - 2:y + 3, x - 2:x + 3])


def test_a_locked_side_stays_still(study: Study) -> None:
    plan = Plan(id="locked", procedures=[PlannedProcedure(procedure="brow_lift", values={"brow_mm": {"right": 3.0}})],
                flags=[PlannedFlag(flag="facial_palsy", side="left", lock=True)])
    for mode in ("tps", "warp3d"):
        made = carried_out(study, plan, mode)
        moved = np.linalg.norm(made.landmarks_after - made.landmarks_before, axis=1)
        assert moved[[334, 300]].max() < 0.02 < 0.5 < moved[[105, 70]].min(), mode
        assert any("palsy" in w.lower() for w in made.prediction.warnings)


def test_the_flat_mode_says_what_has_no_landmarks(study: Study) -> None:
    with pytest.raises(UsageError, match="without any of the 478") as refused:
        carried_out(study, asked_plan("neck_lift", 60, None), "tps")
    assert refused.value.code == "no_landmarks_there"
    assert not carried_out(study, asked_plan("neck_lift", 60, None), "warp3d").unchanged


def test_ears_that_one_photo_does_not_tell_are_not_moved(study: Study) -> None:
    with pytest.raises(InputRefused, match="The patient's right ear: .*hair") as refused:
        carried_out(study, asked_plan("otoplasty", 60, None))
    assert refused.value.code == "ears_unknown"
    with pytest.raises(UsageError, match="none of the 478 landmarks") as flat:
        carried_out(study, asked_plan("otoplasty", 60, None), "tps")
    assert flat.value.code == "no_landmarks_there"
    for mode in ("tps", "warp3d"):
        assert carried_out(study, asked_plan("otoplasty", 0, None), mode).unchanged


def test_a_plan_that_hides_is_refused_and_half_hidden_steps_are_named(demo_video: Path, tmp_path: Path) -> None:
    turned = begin(stills(demo_video, (50.0,), tmp_path)[0][0])
    base = PlannedProcedure(procedure="rhinoplasty", values={"alar_base_mm": {"left": -3.0, "right": 0.0}})
    with pytest.raises(InputRefused, match="Nothing of this plan shows in a right three-quarter photo") as refused:
        carried_out(turned, Plan(id="far", procedures=[base]), "tps")
    assert refused.value.code == "not_seen_from_here"
    made = carried_out(turned, asked_plan("rhinoplasty", 60, None), "tps")
    assert any("left hardly shows" in note for note in made.notes)


def test_a_view_shows_what_lies_across_it(study: Study, demo_video: Path, tmp_path: Path) -> None:
    chin = average_moves(asked_plan("mentoplasty", 60, None).model_dump_json(), "mean").by_step_mm
    frontal, _ = shown_shares(study.head, chin)
    side, most = shown_shares(begin(stills(demo_video, (50.0,), tmp_path)[0][0]).head, chin)
    assert np.nanmax(frontal) < 0.5 < 0.6 < np.nanmax(side) and most > 2


def test_a_small_face_is_used_with_a_word_or_refused(tmp_path: Path) -> None:
    small = Image.fromarray(face()).resize((150, 150), Image.Resampling.LANCZOS)
    path = tmp_path / "small.png"
    Image.new("RGB", (400, 300), (120, 130, 140)).save(path)
    with Image.open(path) as canvas:
        whole = canvas.copy()
    whole.paste(small, (120, 60))
    whole.save(path)
    lids = PlannedProcedure(procedure="blepharoplasty_lower", intensity=10)
    with pytest.raises(InputRefused) as refused:
        carried_out(begin(path), Plan(id="lids", procedures=[lids]), "tps")
    assert refused.value.code == "face_too_small"
    made = carried_out(begin(path), asked_plan("rhytidectomy", 100, None), "tps")
    assert any("small" in note for note in made.notes) and any("smiles" in note for note in made.notes)
    steps = sweep(begin(path), "rhytidectomy", 11, "tps")  # the first of them move less than a pixel
    assert steps[0].unchanged and not steps[-1].unchanged and len(steps) == 11


@pytest.mark.parametrize(("shares", "most_px", "nothing"), [
    ([0.05, 0.09], 9.0, True), ([0.05, 0.3], 9.0, False), ([0.05, 0.3], 0.5, True), ([0.05, 0.5], 0.5, False),
    ([np.nan, 0.05], 9.0, True), ([np.nan], 0.0, False)])
def test_a_view_shows_nothing_of_a_plan_that_it_hides_or_shows_within_a_pixel(
        shares: list[float], most_px: float, nothing: bool) -> None:
    assert unseen(np.array(shares), most_px) is nothing


def test_two_faces_ask_which(tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    Image.fromarray(np.concatenate([face(), face()[:, ::-1]], 1)).save(path)
    with pytest.raises(InputRefused, match="shows 2 faces") as refused:
        begin(path)
    assert refused.value.code == "which_face"
    left, right = begin(path, 1), begin(path, 2)
    assert left.face.points_px[1, 0] < 576 < right.face.points_px[1, 0]
    with pytest.raises(InputRefused, match="no face 3"):
        begin(path, 3)
    assert Image.open(save_faces(path, tmp_path)).size == (1152, 576)


def test_half_a_face_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    nose = int(begin(portrait_file(tmp_path)).face.points_px[1, 0])
    Image.fromarray(face()[:, :nose + 20]).save(path)
    with pytest.raises(InputRefused) as refused:
        begin(path)
    assert refused.value.code in ("half_face", "no_face")


@pytest.mark.parametrize(("call", "code"), [
    (lambda p: previsage.predict_photo(p), "which_plan"),
    (lambda p: previsage.predict_photo(p, "rhinoplasty", plan=asked_plan("rhinoplasty", 10, None)), "which_plan"),
    (lambda p: previsage.predict_photo(p, "rhinoplasty", 101), "bad_intensity"),
    (lambda p: previsage.predict_photo(p, "nose job"), "unknown_procedure"),
    (lambda p: previsage.predict_photo(p, "rhinoplasty", mode="magic"), "unknown_mode"),
    (lambda p: previsage.predict_photo(p, "rhinoplasty", mode="tps", seed=3), "bad_option"),
    (lambda p: previsage.predict_photo(p, "rhinoplasty", ipd_mm=30), "bad_ipd_mm"),
    (lambda p: previsage.predict_photo(p.with_name("nobody.jpg"), "rhinoplasty"), "no_file"),
])
def test_wrong_calls_are_named(photo: Path, call: object, code: str) -> None:
    with pytest.raises(PrevisageError) as refused:
        call(photo)
    assert refused.value.code == code


def test_no_face_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "wall.png"
    Image.new("RGB", (300, 200), (90, 120, 140)).save(path)
    with pytest.raises(InputRefused, match="No face") as refused:
        begin(path)
    assert "fills a third" in refused.value.hint


@pytest.mark.parametrize("mode", ["tps", "warp3d"])
def test_a_photo_in_other_colours_keeps_them(results: dict[str, PhotoResult], tmp_path: Path, mode: str) -> None:
    """A profile with red and green exchanged, and a photo with them exchanged: to the eye the same photo."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = plain.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    path = tmp_path / "other.png"
    Image.fromarray(face()[..., [1, 0, 2]]).save(path, icc_profile=profile)
    made = previsage.predict_photo(path, "rhinoplasty", 80, mode)
    apart = np.abs(made.output[..., [1, 0, 2]].astype(int) - results[mode].output)
    assert np.percentile(apart[made.mask > 0.5], 99) <= 3
    written = save_result(made, tmp_path / "out")[0]
    with Image.open(written) as after:
        assert after.info["icc_profile"] == profile


def test_a_plain_render_shows_no_bald_head_in_the_photo(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the guard refuses is shown as the fitted head alone, before and after, and says so."""
    bad = Verdict(checks=(judge("tint", 9.0, None, 2.0, "", "The skin's colour has changed."),))
    monkeypatch.setattr("previsage.photoreal_stage.guard", lambda *_, **__: bad)
    made = carried_out(study, asked_plan("rhinoplasty", 80, None), "warp3d")
    assert not made.shown and made.reason and made.stand_in is not None
    before, after = made.stand_in
    assert np.array_equal(after, made.output) and (before != after).any()
    corner = made.output[:40, :40]
    assert (corner == corner[0, 0]).all(), "not the photo"
    apart = np.abs(before.astype(int) - after).max(-1)
    assert apart.max() > 20 > apart[made.mask == 0].max(), "the heads differ where the plan is"
    assert all((cell[:20, :20] == NEUTRAL).all() for cell in cells_of(made)[:2]), "both halves of the pair"


def test_opacity_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "cut_out.png"
    cut = Image.fromarray(face())
    alpha = np.full(face().shape[:2], 255, np.uint8)
    alpha[:40] = 0
    cut.putalpha(Image.fromarray(alpha))
    cut.save(path)
    written = save_result(previsage.predict_photo(path, "rhinoplasty", 60, "tps"), tmp_path / "out")[0]
    with Image.open(written) as after:
        assert after.mode == "RGBA" and np.array_equal(np.asarray(after)[..., 3], alpha)
    assert verify(written).status == "genuine"


def test_files_are_marked_signed_and_tell_the_rest(results: dict[str, PhotoResult], tmp_path: Path) -> None:
    made = results["warp3d"]
    files = save_result(made, tmp_path, details=True)
    names = {p.name for p in files}
    assert {"anna_rhinoplasty_warp3d_after.png", "anna_rhinoplasty_warp3d_pair.png", "anna_rhinoplasty_warp3d.json",
            "mask.png", "conditioning.png", "landmarks.csv"} <= names
    assert verify(files[0]).status == "genuine" and verify(files[1]).status == "genuine"
    after = np.asarray(Image.open(files[0]).convert("RGB"))
    differs = (after != made.output).any(-1)
    assert differs.any(), "the mark"
    rows, columns = np.nonzero(differs)
    hull = made.landmarks_before[:468]
    assert not ((rows > hull[:, 1].min()) & (rows < hull[:, 1].max()) & (columns > hull[:, 0].min())
                & (columns < hull[:, 0].max())).any(), "never on the face"
    told = read_json(files[2])
    assert told["checks"]["passed"] and told["view"] == "frontal" and told["scale"]["interval95_percent"] > 3
    assert len(files[-1].read_text().splitlines()) == 479


@pytest.mark.parametrize("form", ["jpeg", "webp", "tiff"])
def test_other_formats_are_signed_beside(results: dict[str, PhotoResult], form: str, tmp_path: Path) -> None:
    written = save_result(results["tps"], tmp_path, form)[0]
    assert verify(written).status == "genuine"
    with Image.open(written) as after:
        assert after.size == (576, 576)


def test_an_unchanged_photo_is_written_unmarked(study: Study, tmp_path: Path) -> None:
    written = save_result(carried_out(study, asked_plan("rhinoplasty", 0, None), "tps"), tmp_path)[0]
    assert np.array_equal(np.asarray(Image.open(written)), study.photo.picture)


def test_an_unknown_format_is_refused(results: dict[str, PhotoResult], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no format"):
        save_result(results["tps"], tmp_path, "bmp")


def test_a_sweep_goes_from_nothing_to_all(study: Study, tmp_path: Path) -> None:
    made = sweep(study, "rhinoplasty", 4, "tps")
    size = [np.linalg.norm(r.landmarks_after - r.landmarks_before, axis=1).max() for r in made]
    assert size[0] == 0 and np.all(np.diff(size) > 0.5) and made[0].unchanged
    assert size[1] / size[3] == pytest.approx(1 / 3, rel=0.06)
    page, movie, gif = save_sweep(made, tmp_path, "anna")
    assert verify(page).status == verify(movie).status == "genuine"
    with Image.open(gif) as moving:
        assert moving.n_frames == 6
    with pytest.raises(UsageError, match="no change"):
        sweep(study, "rhinoplasty", 1, "tps")


def test_every_procedure_is_shown_or_says_why_not(study: Study, tmp_path: Path) -> None:
    found = every(study, 60.0, "tps")
    assert set(found) == set(previsage.procedures())
    assert "Ears have none" in found["otoplasty"] and "landmarks" in found["neck_lift"]
    assert isinstance(found["rhinoplasty"], PhotoResult)
    page = save_every(found, study, tmp_path, 60.0, "tps")[0]
    assert verify(page).status == "genuine"


@pytest.mark.parametrize(("yaw", "view"), [(0, "frontal"), (-11, "frontal"), (30, "right three-quarter"),
                                           (-64, "left three-quarter"), (90, "right profile"), (-70, "left profile")])
def test_a_turn_has_a_word(yaw: float, view: str) -> None:
    assert view_of(yaw) == view


def test_lagging_landmarks_follow_and_the_strongest_keep_their_motion() -> None:
    start = np.array([[0.0, 0], [2, 0], [50, 0], [90, 0]])
    move = np.array([[10.0, 0], [0, 0], [0, 0], [0, 0]])
    out = eased(start, move)
    assert np.array_equal(out[0], move[0]) and np.array_equal(out[3], move[3])
    apart = np.linalg.norm(out[:, None] - out[None], axis=2)
    far = np.linalg.norm(start[:, None] - start[None], axis=2)
    assert (apart <= 0.6 * far + 1e-9).all() and out[1, 0] > 8
    calm = np.array([[1.0, 0], [0.5, 0], [0, 0], [0, 0]])
    assert np.array_equal(eased(start, calm), calm)


def test_a_region_reaches_as_far_as_it_says() -> None:
    region = region_around(np.array([[300.0, 200.0]]), 40.0, 640.0, (400, 600))
    rows, columns = np.nonzero(region)
    assert abs(np.ptp(rows) - 80) <= 6 and abs(columns.mean() - 300) < 2
    assert not region_around(np.zeros((0, 2)), 40.0, 640.0, (40, 60)).any()


def test_notes_are_empty_where_nothing_is_asked(study: Study) -> None:
    average = average_moves(asked_plan("rhinoplasty", 0, None).model_dump_json(), "mean")
    assert seen_from_here(study, study.head, average.by_step_mm, average.prediction) == []


def test_a_photo_file_can_be_handed_over(photo: Path) -> None:
    made = previsage.predict_photo(read_photo_file(photo), "rhinoplasty", 40, "tps", ipd_mm=62)
    assert made.scale.source == "ipd" and not made.unchanged


@pytest.mark.parametrize(("farthest_deg", "refused"), [(-1.0, True), (60.0, False)])
def test_a_profile_that_cannot_be_read_is_refused_unless_the_landmarks_can_tell(
        farthest_deg: float, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise InputRefused("profile_lost", "The profile could not be read.", "Give another.")

    for name, value in (("side_on", lost), ("beyond", lambda head: True), ("FARTHEST_DEG", farthest_deg)):
        monkeypatch.setattr(f"previsage.photo_study.{name}", value)
    turned = begin(portrait_file(tmp_path))
    if refused:
        with pytest.raises(InputRefused, match="could not be read"):
            carried_out(turned, asked_plan("rhinoplasty", 60, None), "tps")
    else:
        made = carried_out(turned, asked_plan("rhinoplasty", 60, None), "tps")
        assert any("the landmarks' word" in note for note in made.notes)
