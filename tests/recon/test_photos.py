import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from core.errors import InputRefused
from core.exif import DIAGONAL_35MM
from recon.photos import read_photo
from recon.probe import Limits, sniff
from tests.recon.media import asymmetric, corners, save_jpeg

LIMITS = Limits()

ORIENTATION, FOCAL_35, GPS = 0x0112, 0xA405, 0x8825
STORED = {1: lambda p: p, 2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud, 5: lambda p: p.swapaxes(0, 1),
          6: lambda p: np.rot90(p, 1), 7: lambda p: np.rot90(p, 2).swapaxes(0, 1), 8: lambda p: np.rot90(p, -1)}
"""How an upright picture is stored under each EXIF orientation."""


def read(path, limits=LIMITS, longest_px=1920):
    return read_photo(sniff(path), limits, longest_px)


def refusal(path, limits=LIMITS):
    with pytest.raises(InputRefused) as caught:
        read(path, limits)
    assert caught.value.hint and path.name in caught.value.message
    return caught.value.code


def exif(orientation=1, focal_35=None):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    if focal_35 is not None:
        tags.get_ifd(0x8769)[FOCAL_35] = focal_35
    return tags


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation(tmp_path, orientation):
    stored = np.ascontiguousarray(STORED[orientation](asymmetric()))
    photo = read(save_jpeg(tmp_path / "p.jpg", stored, exif=exif(orientation)))
    assert photo.picture.shape == asymmetric().shape and corners(photo.picture) == "RGBW"


@pytest.mark.parametrize("orientation", [1, 6])
def test_heic(tmp_path, orientation):
    import pillow_heif

    pillow_heif.register_heif_opener()
    stored = np.ascontiguousarray(STORED[orientation](asymmetric()))
    Image.fromarray(stored).save(tmp_path / "p.jpg", "HEIF", quality=90, exif=exif(orientation).tobytes())
    photo = read(tmp_path / "p.jpg")  # the name lies; the content counts
    assert photo.picture.shape == asymmetric().shape and corners(photo.picture) == "RGBW"


def test_focal_length_from_exif(tmp_path):
    """26 mm on the 43.27 mm diagonal, for a 480 x 320 photo: 26 / 43.27 * 576.9 px; half of that at half the size."""
    path = save_jpeg(tmp_path / "p.jpg", asymmetric(), exif=exif(focal_35=26))
    expected = 26 / DIAGONAL_35MM * np.hypot(480, 320)
    assert read(path).focal_hint_px == pytest.approx(expected)
    small = read(path, longest_px=240)
    assert small.picture.shape == (160, 240, 3) and small.focal_hint_px == pytest.approx(expected / 2)
    for missing in (0, None, 5000):
        assert read(save_jpeg(tmp_path / "q.jpg", asymmetric(), exif=exif(focal_35=missing))).focal_hint_px is None


def test_full_frame_diagonal():
    assert DIAGONAL_35MM == pytest.approx(np.hypot(36, 24), abs=0.005)


def test_16k_photo_is_refused_unread(tmp_path):
    path = tmp_path / "flood.png"
    Image.new("L", (16384, 8192)).save(path)  # 134 million pixels in a few kB
    assert path.stat().st_size < 500_000
    assert refusal(path) == "photo_too_large"
    Image.new("1", (20000, 20000)).save(path)  # beyond twice Pillow's own limit
    assert refusal(path) == "photo_too_large"


def test_just_above_and_below_the_limit(tmp_path):
    path = save_jpeg(tmp_path / "p.jpg", asymmetric())
    assert refusal(path, Limits(photo_px=480 * 320 - 1)) == "photo_too_large"
    assert read(path, Limits(photo_px=480 * 320)).picture.shape == (320, 480, 3)
    assert refusal(path, Limits(photo_side_px=321)) == "photo_too_small"


def test_truncated_and_fake(tmp_path):
    whole = save_jpeg(tmp_path / "p.jpg", np.random.default_rng(0).integers(0, 255, (320, 480, 3), np.uint8))
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:20_000])
    assert refusal(cut) == "unreadable_photo"
    cut.write_bytes(b"\xff\xd8\xff\xe0" + b"not a photo" * 100)
    assert refusal(cut) == "unreadable_photo"


def test_display_p3_becomes_srgb(tmp_path):
    """A profile that swaps red and blue shows that the profile is obeyed; a broken one is as none."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    at_r, at_b = srgb.find(b"rXYZ"), srgb.find(b"bXYZ")
    swapped = bytearray(srgb)
    swapped[at_r:at_r + 4], swapped[at_b:at_b + 4] = b"bXYZ", b"rXYZ"
    plain = save_jpeg(tmp_path / "plain.jpg", asymmetric(), icc_profile=srgb)
    assert corners(read(plain).picture) == "RGBW"
    changed = save_jpeg(tmp_path / "changed.jpg", asymmetric(), icc_profile=bytes(swapped))
    assert corners(read(changed).picture) == "BGRW"
    broken = save_jpeg(tmp_path / "broken.jpg", asymmetric(), icc_profile=b"nonsense" * 20)
    assert corners(read(broken).picture) == "RGBW"


def test_other_modes(tmp_path):
    path = tmp_path / "p.png"
    rgba = np.dstack([asymmetric(), np.full((320, 480), 255, np.uint8)])
    rgba[100:200, 100:200, 3] = 0
    Image.fromarray(rgba).save(path)
    photo = read(path)
    assert corners(photo.picture) == "RGBW" and photo.picture[150, 150].tolist() == [255, 255, 255]
    Image.fromarray(np.full((320, 480), 30000, np.uint16)).save(path)
    assert np.abs(read(path).picture.astype(int) - 30000 / 257).max() < 1.5
    Image.fromarray(asymmetric()).quantize(16).save(path)
    assert corners(read(path).picture) == "RGBW"
    buffer = io.BytesIO()
    Image.fromarray(asymmetric()).convert("CMYK").save(buffer, "JPEG", quality=95)
    (tmp_path / "c.jpg").write_bytes(buffer.getvalue())
    assert corners(read(tmp_path / "c.jpg").picture) == "RGBW"
