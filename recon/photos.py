"""Photos: upright sRGB pictures from camera files, with the focal length their EXIF states and nothing else of it."""

import io
import warnings

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from core.errors import InputRefused
from core.exif import focal_px
from core.records import record
from recon.probe import Limits, Sniffed


@record
class Photo:
    """One upright photo. focal_hint_px is in pixels of this (perhaps reduced) picture, None when EXIF does not say."""

    name: str
    picture: UInt8[np.ndarray, "h w 3"]
    focal_hint_px: float | None


def read_photo(file: Sniffed, limits: Limits, longest_px: int) -> Photo:
    """Open, check, turn upright, convert to sRGB and reduce to `longest_px`; InputRefused when that cannot be done."""
    name = file.path.name
    if file.container == "heif":
        import pillow_heif

        pillow_heif.register_heif_opener()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file.path) as image:
                check_pixels(image.size, name, limits)
                return developed(image, name, longest_px)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise too_many_pixels(name, limits) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        raise InputRefused("unreadable_photo", f"{name} is damaged or cut off and cannot be opened as a photo.",
                           "Copy it again from the camera, or leave it out.") from error


def check_pixels(size_wh: tuple[int, int], name: str, limits: Limits) -> None:
    """Refuse pictures that are far too large or too small, before their pixels are decoded."""
    if size_wh[0] * size_wh[1] > limits.photo_px:
        raise too_many_pixels(name, limits)
    if min(size_wh) < limits.photo_side_px:
        raise InputRefused("photo_too_small", f"{name} has only {size_wh[0]} x {size_wh[1]} pixels.",
                           f"At least {limits.photo_side_px} pixels a side are needed: send the original photo.")


def too_many_pixels(name: str, limits: Limits) -> InputRefused:
    """The refusal for pixel floods."""
    return InputRefused("photo_too_large", f"{name} has more than {limits.photo_px / 1e6:.0f} million pixels.",
                        "Save it smaller (12 million pixels are plenty) and try again.")


def developed(image: Image.Image, name: str, longest_px: int) -> Photo:
    """The opened image as an upright sRGB array."""
    focal = focal_px(image)
    width = max(image.size)
    profile = image.info.get("icc_profile")
    upright = in_srgb(ImageOps.exif_transpose(image), profile)
    scale = min(1.0, longest_px / width)
    if scale < 1:
        size = (max(1, round(upright.width * scale)), max(1, round(upright.height * scale)))
        upright = upright.resize(size, Image.Resampling.LANCZOS)
    return Photo(name=name, picture=np.asarray(upright), focal_hint_px=None if focal is None else focal * scale)


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert from the photo's colour profile (phones write Display P3); a broken profile counts as none."""
    if image.mode in ("RGBA", "LA", "PA", "P"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image, np.float64) / 257).clip(0, 255).astype(np.uint8))
    if profile and image.mode in ("RGB", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return converted if converted is not None else image.convert("RGB")
        except (ImageCms.PyCMSError, OSError):
            return image.convert("RGB")
    return image.convert("RGB")
