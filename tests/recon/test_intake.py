import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import recon.intake as intake
from core.errors import InputRefused, PrevisageError
from core.files import sha256
from recon.capture_folder import load_capture
from recon.detect import Detector
from recon.intake import DEFAULTS, describe_inputs, take_in
from tests.recon.media import SHARED, astronaut, asymmetric, clip, faststart, save_jpeg, shared, turned_face


class TurningHead(Detector):
    """A detector for a head that turns as told, picture by picture; None where the face is lost."""

    def __init__(self, yaws_deg, rival=False):
        self.yaws, self.rival, self.seen = list(yaws_deg), rival, 0

    def boxes(self, picture):
        return []

    def follow(self, picture, last, boxes=None):
        yaw, self.seen = self.yaws[self.seen], self.seen + 1
        return None if yaw is None else turned_face(yaw, size_px=180)

    def has_rival(self, picture, face, boxes):
        return self.rival

    def turns_to_upright(self, pictures):
        return 0


def turn(monkeypatch, yaws_deg, **options):
    monkeypatch.setattr(intake, "Detector", lambda _: TurningHead(yaws_deg, **options))


def film(tmp_path, frames):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 60, (320, 480, 3), np.uint8)
    return clip(tmp_path / "turn.mp4", [asymmetric() // 2 + np.roll(noise, k, 1) for k in range(frames)])


def out(tmp_path):
    folder = tmp_path / "capture"
    folder.mkdir(exist_ok=True)
    return folder


def refusal(inputs, folder, options=DEFAULTS):
    with pytest.raises(InputRefused) as caught:
        take_in(inputs, folder, options)
    assert caught.value.exit_code == 3 and caught.value.hint
    return caught.value


def test_video_becomes_a_capture(tmp_path, monkeypatch):
    yaws = np.concatenate([np.linspace(0, 60, 35), np.linspace(60, -60, 70), np.linspace(-60, 0, 35)])
    turn(monkeypatch, yaws)
    said = []
    capture = take_in([film(tmp_path, len(yaws))], out(tmp_path), progress=lambda f, m: said.append((f, m)))
    assert capture.kind == "video" and 28 <= len(capture.frames) <= 42
    written = sorted(p.relative_to(capture.folder).as_posix() for p in capture.folder.rglob("*") if p.is_file())
    assert written == sorted([f.path for f in capture.frames] + ["capture.json", "landmarks.npz", "quality.json",
                                                                  "quality.png"])
    for k, frame in enumerate(capture.frames):
        number = int(frame.source.removeprefix("turn.mp4#"))
        assert frame.time_s == pytest.approx(number / 30, abs=1e-3) and frame.size_wh == (480, 320)
        assert np.array_equal(frame.landmarks.points, turned_face(yaws[number], size_px=180).points_px[:, :2])
        assert capture.picture(k).shape == (320, 480, 3) and frame.focal_hint_px is None
    times = [f.time_s for f in capture.frames]
    assert times == sorted(times)
    assert capture.quality["yaw_deg"][0] < -57 and capture.quality["yaw_deg"][1] > 57
    assert said[0][0] == 0 and said[-1][0] == 1 and all(a <= b for (a, _), (b, _) in zip(said, said[1:], strict=False))


def test_profiles_in_which_the_face_is_lost_are_kept_at_the_ends_of_the_turn(tmp_path, monkeypatch):
    """The face is lost beyond 55 degrees, and for a moment in front; a far turned frame beside the loss comes along."""
    yaws = [*np.linspace(0, 55, 14), *[None] * 9, *np.linspace(55, 3, 14), None, None, *np.linspace(2, -55, 18),
            *[None] * 7]
    turn(monkeypatch, yaws)
    made = take_in([film(tmp_path, len(yaws))], out(tmp_path))
    read = load_capture(out(tmp_path))
    view = next(c for c in made.quality["checks"] if c["name"] == "face in view")
    assert (view["value"], view["level"]) == ("46 of 64, 16 in profile", "green")  # profiles are no fault of a film
    assert made.quality["notes"] == ["In 16 frames the head is turned so far that no face is found; some of them serve "
                                     "as profiles."]
    for capture in (made, read):
        lost = [int(f.source.split("#")[1]) for f in capture.frames if f.landmarks is None]
        assert len(lost) == DEFAULTS.most_lost and not {37, 38} & set(lost)
        assert {k for k in lost if yaws[k] is None} <= {*range(14, 23), *range(57, 64)} and 63 in lost
        assert all(yaws[k] is None or abs(yaws[k]) > DEFAULTS.ends_deg for k in lost)
        numbers = [int(f.source.split("#")[1]) for f in capture.frames]
        assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)
        assert all(capture.picture(k).shape == (320, 480, 3) for k in range(len(numbers)))
        assert all(f.sharpness > 0 for f in capture.frames)


def test_of_a_film_that_is_cut_off_the_first_advice_is_to_copy_it_again(tmp_path, monkeypatch):
    """The sides that its end would have shown need not be filmed again."""
    whole = faststart(film(tmp_path, 60), tmp_path / "front.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[:int(len(whole) * 0.7)])
    yaws = np.linspace(50, -45, 60)
    turn(monkeypatch, yaws)
    quality = take_in([tmp_path / "cut.mp4"], out(tmp_path)).quality
    assert quality["sentence"].index("opy the file from the phone") < quality["sentence"].index("turn")
    assert quality["checks"][0]["name"] == "file" and quality["checks"][0]["level"] == "amber"
    assert any("cut off" in note for note in quality["notes"])
    turn(monkeypatch, yaws / 5)
    (tmp_path / "b").mkdir()
    refused = refusal([tmp_path / "cut.mp4"], tmp_path / "b")
    assert refused.code == "no_rotation" and "opy the file" in refused.hint


def test_load_capture_is_the_capture_to_the_last_bit(tmp_path, monkeypatch):
    turn(monkeypatch, np.linspace(-40, 40, 30))
    made = take_in([film(tmp_path, 30)], out(tmp_path))
    read = load_capture(out(tmp_path))
    assert read.quality == made.quality == json.loads((out(tmp_path) / "quality.json").read_text())
    for a, b in zip(made.frames, read.frames, strict=True):
        for name in ("path", "source", "time_s", "size_wh", "sharpness"):
            assert getattr(a, name) == getattr(b, name)
        assert np.array_equal(a.landmarks.points, b.landmarks.points)
        assert np.array_equal(a.landmarks.confidence, b.landmarks.confidence)
    (out(tmp_path) / "landmarks.npz").write_bytes(b"PK broken")
    with pytest.raises(PrevisageError, match="damaged"):
        load_capture(out(tmp_path))


def test_photos_become_a_capture_without_metadata(tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    tags = Image.Exif()
    tags.get_ifd(0x8769)[0xA405] = 26
    tags.get_ifd(0x8825)[1] = "N"
    tags[0x010E] = "Jane Doe"
    for k in range(4):
        save_jpeg(folder / f"p{k}.jpg", np.roll(asymmetric(), 7 * k, 1), exif=tags)
    turn(monkeypatch, [-40, 0, None, 38])
    capture = take_in([folder], out(tmp_path))
    assert capture.kind == "photos" and [f.source for f in capture.frames] == ["p0.jpg", "p1.jpg", "p2.jpg", "p3.jpg"]
    assert [f.landmarks is None for f in capture.frames] == [False, False, True, False]  # its outline may serve
    assert all(f.focal_hint_px == pytest.approx(26 / 43.27 * np.hypot(480, 320)) for f in capture.frames)
    assert any("p2.jpg" in note for note in capture.quality["notes"])
    for file in capture.folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"Jane" not in content and b"Exif" not in content
    assert np.abs(capture.picture(0).astype(int) - asymmetric()).mean() < 2


def test_copies_of_a_photo_count_once(tmp_path, monkeypatch):
    photos = [save_jpeg(tmp_path / f"p{k}.jpg", np.roll(asymmetric(), 7 * (k % 2), 1)) for k in range(4)]
    turn(monkeypatch, [-30, 30])
    assert refusal(photos, out(tmp_path)).code == "too_few_faces"


def test_photos_from_one_side_are_told_what_serves_them(tmp_path, monkeypatch):
    photos = [save_jpeg(tmp_path / f"p{k}.jpg", np.roll(asymmetric(), 7 * k, 1)) for k in range(4)]
    turn(monkeypatch, [0, 1, -1, 2])
    refused = refusal(photos, out(tmp_path))
    assert refused.code == "no_rotation" and "previsage photo FOLDER --visit --procedure" in refused.hint


@pytest.mark.parametrize("yaws, code, words", [
    ([None] * 40, "no_face", "No face was found in turn.mp4"),
    ([0.0] * 40, "no_rotation", "turns by only 0°"),
    (list(np.linspace(-14, 14, 40)), "no_rotation", "28°"),
    ([None] * 31 + list(np.linspace(-40, 40, 9)), "face_lost", "only 9 of 40"),
    (list(np.linspace(0, 20, 20)) + [None] * 20, "no_rotation", "lost half way"),
    ([None] * 18 + [10.0, 11.0] + [None] * 20, "no_face", "No face"),
    ([None] * 40 + [10.0, 11.0, 12.0] + [None] * 37, "no_face", "No face")])
def test_refused_videos(tmp_path, monkeypatch, yaws, code, words):
    turn(monkeypatch, yaws)
    refused = refusal([film(tmp_path, len(yaws))], out(tmp_path))
    assert refused.code == code and words in refused.message
    if code == "no_rotation":
        assert "photo path" in refused.hint


def test_face_lost_half_way_uses_the_good_part(tmp_path, monkeypatch):
    turn(monkeypatch, [*np.linspace(-30, 30, 30), *[None] * 30])
    capture = take_in([film(tmp_path, 60)], out(tmp_path))
    assert any("lost in 30 of 60" in note for note in capture.quality["notes"])
    assert max(int(f.source.split("#")[1]) for f in capture.frames) < 30


def test_a_glimpse_of_something_else_is_dropped(tmp_path, monkeypatch):
    turn(monkeypatch, [*np.linspace(-5, 5, 30), *[None] * 5, -60.0, 60.0, *[None] * 5])
    assert refusal([film(tmp_path, 42)], out(tmp_path)).code == "no_rotation"


def test_two_people_of_similar_size(tmp_path, monkeypatch):
    photos = [save_jpeg(tmp_path / f"p{k}.jpg", np.roll(asymmetric(), 7 * k, 1)) for k in range(3)]
    turn(monkeypatch, [-30, 0, 30], rival=True)
    assert refusal(photos, out(tmp_path)).code == "two_people"


def test_two_people_really_detected(tmp_path):
    head = astronaut()[:300, 80:380]
    pair = np.hstack([head, head])
    path = clip(tmp_path / "v.mp4", [np.roll(pair, k, 1) for k in range(20)])
    assert refusal([path], out(tmp_path)).code == "two_people"


def test_a_face_that_only_moves_is_no_rotation(tmp_path):
    pictures = [np.roll(astronaut()[:360, :480], (k % 5, 2 * k), (0, 1)) for k in range(20)]
    refused = refusal([clip(tmp_path / "v.mp4", pictures)], out(tmp_path))
    assert refused.code == "no_rotation" and "photo path" in refused.hint


def test_sideways_video_without_a_rotation_tag(tmp_path):
    """The orientation is found: the refusal is about the missing turn, not about a missing face."""
    sideways = np.ascontiguousarray(np.rot90(astronaut()[:360, :480]))
    assert refusal([clip(tmp_path / "v.mp4", [sideways] * 40)], out(tmp_path)).code == "no_rotation"


def test_nothing_is_written_elsewhere(tmp_path):
    folder = out(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    text = tmp_path / "a.mp4"
    text.write_text("no video")
    refusal([text], folder)
    assert not any(folder.iterdir())
    assert set(tmp_path.rglob("*")) == {*before, text}


def test_describe_inputs_keys_content_not_place(tmp_path):
    names = ["p2.jpg", "p10.jpg", "p1.jpg"]
    photos = [save_jpeg(tmp_path / n, np.roll(asymmetric(), k, 1)) for k, n in enumerate(names)]
    (tmp_path / "notes.txt").write_text("ignored")
    assert describe_inputs([tmp_path]) == [(n, sha256(tmp_path / n)) for n in ("p1.jpg", "p2.jpg", "p10.jpg")]
    assert describe_inputs(photos) == [(n, sha256(tmp_path / n)) for n in names]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_leaves_no_child(tmp_path):
    clip(tmp_path / "v.mp4", [np.roll(astronaut()[:360, :480], k, 1) for k in range(150)])
    code = ("import os, signal; from pathlib import Path; from recon.intake import take_in\n"
            # a shell's background jobs, and their children, are started deaf to Ctrl-C
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "def tell(fraction, message):\n"
            "    if 'frame 5 ' in message: os.kill(os.getpid(), signal.SIGINT)\n"
            f"take_in([Path({str(tmp_path / 'v.mp4')!r})], Path({str(out(tmp_path))!r}), progress=tell)")
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               cwd=Path(__file__).parents[2])
    _, errors = running.communicate(timeout=60)
    assert running.returncode != 0 and "KeyboardInterrupt" in errors
    time.sleep(0.1)
    alive = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False).stdout
    assert str(tmp_path / "v.mp4") not in alive


REAL = [("video_pyfeat/single_face.mp4", "no_rotation"), ("video_pyfeat/no_face.mp4", "no_face"),
        ("video_intel_headpose/head-pose-face-detection-female-and-male.gif", "two_people"),
        ("portraits_public_domain/two_people.jpg", "single_photo"), ("stills_zoom_distance", "no_rotation")]


@pytest.mark.parametrize("name, code", REAL)
def test_real_clips_that_are_refused(tmp_path, name, code):
    assert refusal([shared(name)], out(tmp_path)).code == code


def test_real_head_turn(tmp_path):
    capture = take_in([shared("video_intel_headpose/head-pose-face-detection-female.gif")], out(tmp_path))
    assert capture.quality["verdict"] == "poor" and len(capture.frames) >= 20  # an 84 px face


def test_real_photos(tmp_path):
    shared("stills_london_shared")
    capture = take_in(sorted((SHARED / "stills_london_shared").glob("002_0*.jpg")), out(tmp_path))
    assert [f.source for f in capture.frames] == [f"002_0{k}.jpg" for k in range(1, 6)]
    assert [f.landmarks is None for f in capture.frames] == [True, False, False, False, True]
    assert capture.quality["notes"] and capture.quality["verdict"] in ("good", "usable")


def test_rendered_capture(tmp_path):
    capture = take_in([shared("capture_101/video.mp4")], out(tmp_path))
    assert capture.quality["verdict"] == "good" and 28 <= len(capture.frames) <= 42
    assert capture.quality["yaw_deg"][0] < -50 and capture.quality["yaw_deg"][1] > 50
