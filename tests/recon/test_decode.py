import os
import signal
import struct
import subprocess
import sys
import time

import av
import numpy as np
import pytest

from core.errors import InputRefused
from recon import decode_child
from recon.decode import DecodeOptions, Video, read_message
from recon.probe import Limits, sniff
from tests.recon.media import asymmetric, claim_duration, clip, corners, faststart

LIMITS = Limits()

FIX = 65536
TURN = {"none": [1, 0, 0, 1], "quarter": [0, 1, -1, 0], "half": [-1, 0, 0, -1], "three quarters": [0, -1, 1, 0],
        "mirror": [-1, 0, 0, 1], "upside-down mirror": [1, 0, 0, -1], "transpose": [0, 1, 1, 0],
        "anti-transpose": [0, -1, -1, 0]}


def frames_of(path, limits=LIMITS, **options):
    with Video(sniff(path), limits, DecodeOptions(**options)) as video:
        return list(video.frames()), video


def refusal(path, limits=LIMITS, **options):
    with pytest.raises(InputRefused) as caught:
        frames_of(path, limits, **options)
    assert caught.value.hint and path.name in caught.value.message
    return caught.value.code


def matrix(a, b, c, d):
    return [a * FIX, b * FIX, 0, c * FIX, d * FIX, 0, 0, 0, 1 << 30]


def stored(shown, a, b, c, d):
    """The picture that a display matrix turns into `shown`, pixel by pixel from the matrix's definition."""
    height, width = shown.shape[:2] if a or d else shown.shape[1::-1]
    y, x = np.mgrid[:height, :width]
    shown_x, shown_y = a * x + c * y, b * x + d * y
    return shown[shown_y - shown_y.min(), shown_x - shown_x.min()]


@pytest.mark.parametrize("turn", TURN)
def test_display_matrix(tmp_path, turn):
    """A stored picture is what a player shows after the matrix: point (x, y) goes to (a x + c y, b x + d y)."""
    a, b, c, d = TURN[turn]
    upright = asymmetric()
    coded = stored(upright, a, b, c, d)
    frames, _ = frames_of(clip(tmp_path / "v.mp4", [coded] * 20, matrix=matrix(a, b, c, d)))
    assert frames[0].picture.shape == upright.shape
    assert corners(frames[0].picture) == "RGBW"


def test_rotation_agrees_with_pyav(tmp_path):
    """PyAV's own rule: turn by frame.rotation, counter-clockwise."""
    for k, turn in enumerate(("none", "three quarters", "half", "quarter")):
        path = clip(tmp_path / f"{k}.mp4", [asymmetric()] * 20, matrix=matrix(*TURN[turn]))
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            expected = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4)
        frames, _ = frames_of(path)
        assert corners(frames[0].picture) == corners(expected), turn
        assert frames[0].picture.shape == expected.shape


def test_true_times_of_a_variable_frame_rate(tmp_path):
    ticks = np.cumsum([0, *[33, 133, 33, 67] * 6]).tolist()
    frames, video = frames_of(clip(tmp_path / "v.mkv", [asymmetric()] * len(ticks), ticks=ticks))
    assert np.allclose([f.time_s for f in frames], np.array(ticks) / 1000, atol=2e-3)
    assert [f.index for f in frames] == list(range(len(ticks))) and not video.damaged


def test_frames_are_spread_over_time_not_over_numbers(tmp_path):
    ticks = [*range(0, 1000, 20), *range(1000, 3000, 100)]  # 50 frames in the first second, 20 in the next two
    path = clip(tmp_path / "v.mkv", [asymmetric(320, 240)] * len(ticks), ticks=ticks)
    frames, video = frames_of(path, frames=20)
    assert video.packets == len(ticks) and 18 <= len(frames) <= 20
    gaps = np.diff([f.time_s for f in frames])
    assert gaps.min() > 0.09 and gaps.max() < 0.26


def test_large_frames_are_reduced(tmp_path):
    frames, _ = frames_of(clip(tmp_path / "v.mp4", [asymmetric(960, 640)] * 20), longest_px=480)
    assert frames[0].picture.shape == (320, 480, 3) and corners(frames[0].picture) == "RGBW"


def test_ten_bit(tmp_path):
    frames, _ = frames_of(clip(tmp_path / "v.mp4", [asymmetric()] * 20, pixels="yuv420p10le"))
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert "10" in next(container.decode(video=0)).format.name
    assert corners(frames[0].picture) == "RGBW" and not frames[0].was_hdr
    assert np.abs(frames[0].picture.astype(int) - asymmetric()).mean() < 3


def test_gif_is_a_video(tmp_path):
    frames, _ = frames_of(clip(tmp_path / "v.gif", [asymmetric()] * 12, codec="gif", rate=10, pixels="rgb8"))
    assert len(frames) == 12 and corners(frames[0].picture) == "RGBW"


def test_hlg_clip_is_converted(tmp_path):
    path = tmp_path / "hlg.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 480, 320, "yuv420p10le"
        stream.options = {"preset": "ultrafast", "crf": "10"}
        stream.codec_context.color_trc, stream.codec_context.color_primaries = 18, 9
        stream.codec_context.colorspace = 9
        for _ in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((320, 480, 3), 128, np.uint8), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    frames, _ = frames_of(path)
    assert frames[0].was_hdr
    expected = decode_child.to_srgb(np.full((1, 1, 3), 128 * 257, np.uint16), decode_child.HLG)[0, 0]
    assert np.abs(frames[0].picture[100, 100].astype(int) - expected.astype(int)).max() <= 3


def test_hdr_closed_forms():
    """ITU-R BT.2408: 75 % HLG and 58 % PQ are diffuse white, 203 cd/m2; black stays black; grey stays grey."""
    grey = np.linspace(0, 1, 11, dtype=np.float32)[:, None].repeat(3, 1)
    assert decode_child.hlg_to_light(np.full((1, 3), 0.75)) == pytest.approx(1.0, abs=0.02)
    assert decode_child.pq_to_light(np.full((1, 3), 0.5807)) == pytest.approx(1.0, abs=0.01)
    for transfer in (decode_child.HLG, decode_child.PQ):
        coded = np.rint(grey[None] * 65535).astype(np.uint16)
        out = decode_child.to_srgb(coded, transfer)[0].astype(int)
        assert out[0].max() == 0 and out[-1].min() > 240
        assert (np.diff(out[:, 0]) >= 0).all() and np.ptp(out, axis=1).max() <= 1
    assert np.allclose(decode_child.RGB709_FROM_2020.sum(1), 1, atol=1e-4)


def test_cut_file_gives_its_good_part(tmp_path):
    rng = np.random.default_rng(0)
    noisy = [rng.integers(0, 255, (240, 320, 3), np.uint8) for _ in range(40)]
    whole = clip(tmp_path / "whole.mp4", noisy)
    front = faststart(whole, tmp_path / "front.mp4")
    data = front.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[:int(len(data) * 0.6)])
    frames, video = frames_of(tmp_path / "cut.mp4")
    assert video.damaged and 15 <= len(frames) < 40
    assert len(frames_of(front)[0]) == 40 and not frames_of(front)[1].damaged
    (tmp_path / "headless.mp4").write_bytes(whole.read_bytes()[:int(whole.stat().st_size * 0.6)])
    assert refusal(tmp_path / "headless.mp4") == "unreadable_video"  # its index was at the end


def test_damaged_in_the_middle(tmp_path):
    rng = np.random.default_rng(1)
    path = clip(tmp_path / "v.mp4", [rng.integers(0, 255, (240, 320, 3), np.uint8) for _ in range(40)])
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle:middle + 3000] = bytes(3000)
    path.write_bytes(bytes(data))
    frames, video = frames_of(path)
    assert video.damaged and 10 <= len(frames) <= 40


def test_audio_only(tmp_path):
    path = tmp_path / "voice.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    assert refusal(path) == "no_video_stream"


def test_too_few_frames_and_no_frames(tmp_path):
    assert refusal(clip(tmp_path / "few.mp4", [asymmetric()] * 8, rate=10)) == "too_few_frames"
    path = clip(tmp_path / "none.mp4", [asymmetric()] * 20)
    data = path.read_bytes()
    at = data.find(b"mdat")
    size = struct.unpack(">I", data[at - 4:at])[0]
    (tmp_path / "none.mp4").write_bytes(data[:at + 4] + bytes(size - 8) + data[at - 4 + size:])
    assert refusal(tmp_path / "none.mp4") in ("too_few_frames", "unreadable_video")


def test_ten_hours_are_refused_by_the_header(tmp_path):
    path = clip(tmp_path / "long.mp4", [asymmetric()] * 20)
    claim_duration(path, 36000)
    started = time.monotonic()
    with pytest.raises(InputRefused, match="10.0 hours"):
        frames_of(path)
    assert time.monotonic() - started < 30  # the clip would take minutes if anything were decoded


def test_16k_is_refused_by_the_header(tmp_path):
    path = clip(tmp_path / "huge.mp4", [asymmetric()] * 20)
    data = bytearray(path.read_bytes())
    at = data.find(b"avc1", data.find(b"stsd"))
    struct.pack_into(">HH", data, at + 4 + 24, 16384, 8640)
    path.write_bytes(bytes(data))
    with pytest.raises(InputRefused) as caught:
        frames_of(path, Limits(longest_side_px=(320, 400)))
    assert caught.value.code == "video_too_large"


def test_other_formats_cannot_be_smuggled_in(tmp_path):
    """Only the sniffed demuxer is used: a playlist behind an MP4 name or magic never opens other files."""
    path = tmp_path / "list.mp4"
    path.write_bytes(b"\0\0\0\x18ftypisom" + b"\n#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    assert refusal(path) == "unreadable_video"


def child_is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_leaving_early_kills_the_child(tmp_path):
    path = clip(tmp_path / "v.mp4", [asymmetric(960, 640)] * 60)
    with pytest.raises(KeyboardInterrupt):
        with Video(sniff(path), Limits()) as video:
            for _ in video.frames():
                pid = video._child.pid
                assert not child_is_gone(pid)
                raise KeyboardInterrupt
    assert child_is_gone(pid)


def test_a_hanging_child_is_killed(tmp_path, monkeypatch):
    sleeper = tmp_path / "sleeper.py"
    sleeper.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr("recon.decode.CHILD", sleeper)
    path = clip(tmp_path / "v.mp4", [asymmetric()] * 20)
    assert refusal(path, wait_s=1.0) == "decoder_timeout"


def test_a_crashing_child_is_a_named_refusal(tmp_path, monkeypatch):
    crasher = tmp_path / "crasher.py"
    crasher.write_text(f"import os\nos.kill(os.getpid(), {int(signal.SIGSEGV)})\n")
    monkeypatch.setattr("recon.decode.CHILD", crasher)
    assert refusal(clip(tmp_path / "v.mp4", [asymmetric()] * 20)) == "decoder_stopped"


def test_a_swelling_child_is_a_named_refusal(tmp_path):
    path = clip(tmp_path / "v.mp4", [asymmetric(960, 640)] * 20)
    assert refusal(path, memory_bytes=120_000_000) in ("video_needs_memory", "decoder_stopped")


def test_messages_are_checked(tmp_path):
    def read(content, most=10):
        (tmp_path / "pipe").write_bytes(content)
        with open(tmp_path / "pipe", "rb") as pipe:
            return read_message(pipe, most)

    assert read(b'{"frame": {}, "bytes": 3}\nabc', 3) == ({"frame": {}, "bytes": 3}, b"abc")
    for bad in (b"", b'{"bytes": 9}\nabc', b'{"bytes": 3}', b"nonsense\n", b'{"bytes": -1}\n',
                b'{"bytes": 20}\n' + b"a" * 20):
        with pytest.raises(ValueError):
            read(bad)


def test_the_child_alone_needs_nothing_of_ours(tmp_path):
    path = clip(tmp_path / "v.mp4", [asymmetric()] * 20)
    done = subprocess.run([sys.executable, "-I", decode_child.__file__, str(path), "mov", str(4 * 10**9), "60"],
                          input=b"", capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout.startswith(b'{"facts"') and not done.stderr
