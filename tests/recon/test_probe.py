import os
import wave

import numpy as np
import pytest

from core.errors import InputRefused
from recon.probe import (
    Limits,
    check_duration,
    check_facts,
    clock,
    container_of,
    gather,
    natural_key,
    video_facts,
)
from tests.recon.media import asymmetric, clip, save_jpeg

LIMITS = Limits()

STREAM = {"index": 0, "codec": "h264", "width": 720, "height": 1280, "frames": 90, "duration_s": 3.0, "cover": False}


def refusal(inputs, limits=LIMITS):
    with pytest.raises(InputRefused) as caught:
        gather(inputs, limits)
    assert caught.value.exit_code == 3 and caught.value.hint
    return caught.value.code


def noise_photo(path, seed=0):
    rng = np.random.default_rng(seed)
    return save_jpeg(path, rng.integers(0, 255, (240, 320, 3), np.uint8))


def folder_of_photos(folder, names):
    for k, name in enumerate(names):
        noise_photo(folder / name, k)
    return folder


def test_natural_order_counts():
    names = ["img10.jpg", "img9.jpg", "IMG1.jpg", "img2b.jpg", "img2.jpg"]
    assert sorted(names, key=natural_key) == ["IMG1.jpg", "img2.jpg", "img2b.jpg", "img9.jpg", "img10.jpg"]


@pytest.mark.parametrize("head, expected", [
    (b"\0\0\0\x18ftypisom", ("video", "mov")), (b"\0\0\0\x18ftypheic", ("photo", "heif")),
    (b"\0\0\0\x18ftypavif", ("photo", "avif")), (b"\0\0\0\x08wide\0\0\0\0", ("video", "mov")),
    (b"\x1aE\xdf\xa3\0\0\0\0", ("video", "matroska")), (b"GIF89a", ("video", "gif")),
    (b"RIFF\0\0\0\0AVI LIST", ("video", "avi")), (b"RIFF\0\0\0\0WEBPVP8 ", ("photo", "webp")),
    (b"\xff\xd8\xff\xe0", ("photo", "jpeg")), (b"\x89PNG\r\n\x1a\n", ("photo", "png")),
    (b"MM\0*", ("photo", "tiff")), (b"#EXTM3U\nhttp://", None), (b"ffconcat version", None),
    (b"RIFF\0\0\0\0WAVEfmt ", None), (b"%PDF-1.7", None)])
def test_containers_by_first_bytes(head, expected):
    assert container_of(head.ljust(16, b"\0")) == expected


def test_text_named_mp4_is_refused_and_named(tmp_path):
    fake = tmp_path / "holiday.mp4"
    fake.write_text("this is not a video\n" * 50)
    assert refusal([fake]) == "not_a_picture"
    with pytest.raises(InputRefused, match=r"holiday\.mp4"):
        gather([fake], Limits())


def test_missing_empty_and_empty_folder(tmp_path):
    assert refusal([tmp_path / "none.mp4"]) == "missing_file"
    (tmp_path / "zero.mov").touch()
    assert refusal([tmp_path / "zero.mov"]) == "empty_file"
    (tmp_path / "bare").mkdir()
    assert refusal([tmp_path / "bare"]) == "empty_folder"
    (tmp_path / "bare" / "notes.txt").write_text("nothing to see")
    assert refusal([tmp_path / "bare"]) == "no_pictures"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder(tmp_path):
    locked = folder_of_photos(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    locked.chmod(0)
    try:
        assert refusal([locked]) == "unreadable"
    finally:
        locked.chmod(0o700)


def test_unreadable_folder_without_permissions(tmp_path, monkeypatch):
    def denied(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "iterdir", denied)
    assert refusal([tmp_path]) == "unreadable"


def test_one_photo_names_the_photo_path(tmp_path):
    with pytest.raises(InputRefused, match="2D baseline; ?.*|2D baseline") as caught:
        gather([noise_photo(tmp_path / "one.jpg")], Limits())
    assert caught.value.code == "single_photo" and "at least 3 photos" in caught.value.hint
    assert refusal([tmp_path / "one.jpg", noise_photo(tmp_path / "two.jpg", 2)]) == "two_photos"


def test_folder_of_photos_sorted_with_others_ignored(tmp_path):
    folder_of_photos(tmp_path, ["p10.jpg", "p2.jpg", "p1.jpg"])
    (tmp_path / "notes.txt").write_text("taken on Tuesday")
    (tmp_path / "zero.jpg").touch()
    (tmp_path / ".hidden.jpg").write_bytes(b"\xff\xd8\xff")
    found = gather([tmp_path], Limits())
    assert found.kind == "photos"
    assert [f.path.name for f in found.files] == ["p1.jpg", "p2.jpg", "p10.jpg"]
    assert found.ignored == ("notes.txt", "zero.jpg")


def test_folder_with_one_video_is_that_video(tmp_path):
    clip(tmp_path / "turn.dat", [asymmetric()] * 3, container="mp4")
    (tmp_path / "readme.md").write_text("# about")
    found = gather([tmp_path], Limits())
    assert (found.kind, found.files[0].path.name, found.files[0].container) == ("video", "turn.dat", "mov")
    noise_photo(tmp_path / "p.jpg")
    assert refusal([tmp_path]) == "mixed_input"


def test_size_and_number_limits(tmp_path):
    folder_of_photos(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    assert refusal([tmp_path], Limits(file_bytes=1000)) == "file_too_large"
    assert refusal([tmp_path], Limits(photos=2)) == "too_many_photos"
    assert gather([tmp_path], Limits(photos=3)).kind == "photos"


def test_sound_without_picture(tmp_path):
    with wave.open(str(tmp_path / "voice.mp4"), "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(b"\0" * 8000)
    assert refusal([tmp_path / "voice.mp4"]) == "not_a_picture"


def facts_code(**changes):
    message = {"streams": [{**STREAM, **changes}], "audio": 1, "duration_s": 3.0}
    with pytest.raises(InputRefused) as caught:
        check_facts(video_facts(message, "a.mp4"), "a.mp4", Limits())
    return caught.value.code


def test_headers_decide_before_decoding():
    facts = video_facts({"streams": [STREAM], "audio": 0, "duration_s": None}, "a.mp4")
    check_facts(facts, "a.mp4", Limits())
    assert facts.size_wh == (720, 1280) and facts.duration_s == 3.0
    assert facts_code(width=16384, height=8640) == "video_too_large"
    assert facts_code(width=300, height=200) == "video_too_small"
    assert facts_code(width=640, height=100) == "video_too_small"
    assert facts_code(duration_s=36000.0) == "video_too_long"
    assert facts_code(duration_s=0.2) == "video_too_short"
    assert facts_code(codec="rawvideo") == "codec_refused"


def test_streams():
    def code(streams, audio=0):
        with pytest.raises(InputRefused) as caught:
            video_facts({"streams": streams, "audio": audio, "duration_s": 1.0}, "a.mov")
        return caught.value.code, caught.value.message

    assert code([], audio=1) == ("no_video_stream", "a.mov has sound but no picture.")
    assert code([{**STREAM, "cover": True}], audio=1)[0] == "no_video_stream"
    assert code([STREAM, {**STREAM, "index": 1}])[0] == "several_video_streams"
    both = [{**STREAM, "cover": True, "codec": "mjpeg"}, {**STREAM, "index": 1}]
    assert video_facts({"streams": both, "audio": 1, "duration_s": 1.0}, "a.mov").stream == 1


def test_limits_are_inclusive():
    check_duration(120.0, "a", Limits())
    check_duration(0.5, "a", Limits())
    for bad in (120.1, 0.49):
        with pytest.raises(InputRefused):
            check_duration(bad, "a", Limits())
    assert (clock(90.0), clock(600.0), clock(36000.0)) == ("90 seconds", "10 minutes", "10.0 hours")
