"""The lens's length from a photo's metadata."""

import io

import pytest
from PIL import ExifTags, Image

from core.exif import focal_px


def stating(value: object) -> Image.Image:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = value
    out = io.BytesIO()
    Image.new("RGB", (400, 300)).save(out, "JPEG", exif=exif)
    return Image.open(io.BytesIO(out.getvalue()))


def test_the_equivalent_is_by_the_diagonal() -> None:
    assert focal_px(stating(26)) == pytest.approx(26 / 43.27 * 500)


@pytest.mark.parametrize("value", [0, 4, 3000])
def test_what_no_lens_has_is_no_statement(value: int) -> None:
    assert focal_px(stating(value)) is None


def test_no_metadata_is_no_statement() -> None:
    assert focal_px(Image.new("RGB", (40, 30))) is None
