"""Photos in and out: nothing is lost on the way that a person would miss, and what cannot be read is named."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from core.errors import InputRefused, UsageError
from synth.photo_file import FORMATS, read_photo_file, write_photo_file

H, W = 90, 140


def picture() -> np.ndarray:
    """Smooth colours, brighter towards the right, red at the top."""
    rng = np.random.default_rng(0)
    base = cv2.GaussianBlur(rng.uniform(0, 255, (H, W, 3)), (0, 0), 6)
    base = (base - 127) * 4 + np.linspace(60, 190, W)[None, :, None]
    base[:20, :, 0] += 60
    return np.clip(base, 0, 255).astype(np.uint8)


def saved(path: Path, image: Image.Image | None = None, **how: object) -> Path:
    (image or Image.fromarray(picture())).save(path, **how)
    return path


@pytest.mark.parametrize("suffix", sorted(set(FORMATS) - {".jpg", ".heif", ".tif"}))
def test_each_format_there_and_back(tmp_path, suffix):
    source = read_photo_file(saved(tmp_path / "a.png"))
    path = tmp_path / f"b{suffix}"
    assert write_photo_file(path, source.picture, source) == ()
    again = read_photo_file(path)
    assert again.format == FORMATS[suffix] and again.picture.shape == (H, W, 3) and again.alpha is None
    error = np.abs(again.picture.astype(int) - picture())
    assert error.mean() < 3 and (error.max() == 0) == (suffix in (".png", ".tiff"))


@pytest.mark.parametrize("turn", range(1, 9))
def test_turned_photos_stand_upright_and_stay_so(tmp_path, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    exif[0x010F] = "A camera"
    source = read_photo_file(saved(tmp_path / "a.jpg", exif=exif, quality=95))
    plain = read_photo_file(saved(tmp_path / "plain.jpg", quality=95)).picture
    expected = {1: plain, 2: plain[:, ::-1], 3: plain[::-1, ::-1], 4: plain[::-1], 5: plain.transpose(1, 0, 2),
                6: np.rot90(plain, -1), 7: plain[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(plain, 1)}[turn]
    assert np.array_equal(source.picture, expected)
    write_photo_file(tmp_path / "b.jpg", source.picture, source)
    with Image.open(tmp_path / "b.jpg") as written:
        assert written.size == (source.picture.shape[1], source.picture.shape[0]) and not dict(written.getexif())


def test_the_colour_profile_stays_and_pixels_with_it(tmp_path):
    """A profile with red and green swapped: kept bytes, unchanged pixels, but other colours in sRGB."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {}
    for k in range(struct.unpack(">I", profile[128:132])[0]):
        name, place, size = struct.unpack(">4sII", profile[132 + 12 * k:144 + 12 * k])
        places[name] = (place, size)
    (red, size), (green, _) = places[b"rXYZ"], places[b"gXYZ"]
    profile[red:red + size], profile[green:green + size] = profile[green:green + size], profile[red:red + size]
    source = read_photo_file(saved(tmp_path / "a.png", icc_profile=bytes(profile)))
    assert source.profile == bytes(profile) and np.array_equal(source.picture, picture())
    swapped = source.srgb()
    assert np.abs(swapped[..., 0].astype(int) - picture()[..., 1]).mean() < 12
    assert np.abs(swapped.astype(int) - picture()).mean() > 5
    for suffix in (".png", ".jpg", ".webp", ".avif", ".heic", ".tiff"):
        write_photo_file(tmp_path / f"b{suffix}", source.picture, source)
        assert read_photo_file(tmp_path / f"b{suffix}").profile == bytes(profile), suffix


def test_a_broken_profile_counts_as_none(tmp_path):
    source = read_photo_file(saved(tmp_path / "a.png", icc_profile=b"no profile"))
    assert np.array_equal(source.srgb(), picture())


def test_opacity_is_kept_where_the_format_can(tmp_path):
    image = Image.fromarray(picture())
    alpha = np.zeros((H, W), np.uint8)
    alpha[:, :70] = 255
    alpha[:, 70:80] = 128
    image.putalpha(Image.fromarray(alpha))
    source = read_photo_file(saved(tmp_path / "a.png", image))
    assert np.array_equal(source.alpha, alpha) and np.array_equal(source.picture, picture())
    for suffix in (".png", ".webp", ".avif", ".heic", ".tiff"):
        write_photo_file(tmp_path / f"b{suffix}", source.picture, source)
        again = read_photo_file(tmp_path / f"b{suffix}")
        assert np.abs(again.alpha.astype(int) - alpha).max() <= 4, suffix
    assert "white" in write_photo_file(tmp_path / "b.jpg", source.picture, source)[0]
    assert read_photo_file(tmp_path / "b.jpg").picture[:, 90:].min() > 250
    image.putalpha(255)
    assert read_photo_file(saved(tmp_path / "opaque.png", image)).alpha is None


def test_a_jpeg_keeps_its_own_quality(tmp_path):
    for quality in (60, 92):
        source = read_photo_file(saved(tmp_path / f"{quality}.jpg", quality=quality, subsampling=0))
        write_photo_file(tmp_path / "b.jpg", source.picture, source)
        with Image.open(tmp_path / "b.jpg") as one, Image.open(tmp_path / f"{quality}.jpg") as other:
            assert one.quantization == other.quantization
        again = read_photo_file(tmp_path / "b.jpg").picture.astype(int)
        assert np.abs(again - source.picture).mean() < 0.4, "the same tables hardly lose anything again"


def test_sixteen_bits_grey_palette_and_print_colours_are_told(tmp_path):
    deep = (picture()[..., ::-1].astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    cv2.imwrite(str(tmp_path / "deep.tif"), deep)
    source = read_photo_file(tmp_path / "deep.png")
    assert "16 bits" in source.notes[0] and np.array_equal(source.picture, picture())
    grey = Image.fromarray((np.arange(H * W, dtype=np.uint16) * 5).reshape(H, W))
    told = read_photo_file(saved(tmp_path / "grey.png", grey))
    assert "16 bits" in told.notes[0] and told.picture.max() == round(np.asarray(grey).max() / 257)
    palette = read_photo_file(saved(tmp_path / "palette.png", Image.fromarray(picture()).quantize(200)))
    assert np.abs(palette.picture.astype(int) - picture()).mean() < 8 and palette.notes == ()
    cmyk = read_photo_file(saved(tmp_path / "print.jpg", Image.fromarray(picture()).convert("CMYK"), quality=95))
    assert "CMYK" in cmyk.notes[0] and np.abs(cmyk.picture.astype(int) - picture()).mean() < 12
    write_photo_file(tmp_path / "b.jpg", cmyk.picture, cmyk)
    assert read_photo_file(tmp_path / "b.jpg").notes == ()


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "avif"])
def test_moving_pictures_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(np.roll(picture(), 9 * k, 1)) for k in range(3)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(InputRefused, match="3 pictures") as refused:
        read_photo_file(tmp_path / f"a.{suffix}")
    assert refused.value.code == "animated"


def bomb(path: Path, side: int) -> Path:
    """A PNG header that promises side x side pixels."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    return path


def test_what_is_no_photo_is_named(tmp_path):
    (tmp_path / "text.jpg").write_text("a letter")
    (tmp_path / "empty.png").write_bytes(b"")
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    whole = saved(tmp_path / "whole.jpg", Image.fromarray(noise))
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:4000])
    for path, code in ((tmp_path / "text.jpg", "not_a_photo"), (tmp_path / "empty.png", "not_a_photo"),
                       (tmp_path / "cut.jpg", "unreadable_photo"), (bomb(tmp_path / "b.png", 30000), "photo_too_large"),
                       (bomb(tmp_path / "c.png", 11000), "photo_too_large"),
                       (saved(tmp_path / "dot.png", Image.new("RGB", (20, 300))), "photo_too_small")):
        with pytest.raises(InputRefused) as refused:
            read_photo_file(path)
        assert refused.value.code == code, path.name
    with pytest.raises(UsageError, match="no file"):
        read_photo_file(tmp_path / "none.png")
    good = read_photo_file(whole)
    with pytest.raises(UsageError, match=r"\.avif"):
        write_photo_file(tmp_path / "a.psd", good.picture, good)


def test_a_phone_s_double_picture_is_one_photo(tmp_path):
    """MPO: a JPEG with a second picture (depth, gain map) behind it."""
    first, second = Image.fromarray(picture()), Image.fromarray(picture()[::2, ::2])
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second], quality=95)
    source = read_photo_file(tmp_path / "a.jpg")
    assert source.format == "jpeg" and source.picture.shape == (H, W, 3)
    file = io.BytesIO((tmp_path / "a.jpg").read_bytes())
    with Image.open(file) as image:
        assert image.format == "MPO" and image.n_frames == 2
