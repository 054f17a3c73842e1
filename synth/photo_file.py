"""A photo file as it came, and a changed picture written back like it: same size, colours, opacity and format.

Pixels stay in the file's own colour space, so that what is not changed keeps its values; `srgb()` is for eyes that know
sRGB only (detectors, measurements). Turned photos are set upright. Of the rest of the EXIF (place, time, camera, and a
thumbnail of the old face) nothing is written.
"""

import io
import struct
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from core.errors import InputRefused, UsageError
from core.exif import focal_px
from core.files import write_bytes
from core.records import freeze, record

Format = Literal["jpeg", "png", "webp", "avif", "heic", "tiff"]
OPENED = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "GIF")
FORMATS: dict[str, Format] = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp", ".avif": "avif",
                              ".heic": "heic", ".heif": "heic", ".tif": "tiff", ".tiff": "tiff"}
READ_AS: dict[str, Format] = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "WEBP": "webp", "AVIF": "avif",
                              "HEIF": "heic", "TIFF": "tiff", "BMP": "png", "GIF": "png"}
OPAQUE_ONLY = ("jpeg",)
MOST_PX = 100_000_000
LEAST_SIDE_PX = 64
QUALITY = {"jpeg": 95, "webp": 95, "avif": 92, "heic": 92}


@record
class PhotoFile:
    """An opened photo. picture: upright, in the colours of `profile` (ICC; None means sRGB). alpha: opacity or None.

    notes: what was changed to read it, for the person. jpeg: its quantisation tables and subsampling, or None.
    focal_px: of the lens, from the metadata, or None.
    """

    name: str
    format: Format
    picture: UInt8[np.ndarray, "h w 3"]
    alpha: UInt8[np.ndarray, "h w"] | None
    profile: bytes | None
    notes: tuple[str, ...]
    jpeg: dict[str, Any] | None = None
    focal_px: float | None = None

    def __post_init__(self) -> None:
        freeze(self, picture=(self.picture, np.uint8))

    def srgb(self) -> UInt8[np.ndarray, "h w 3"]:
        """The picture in sRGB; a broken profile counts as none."""
        if self.profile is None:
            return self.picture
        return in_srgb(Image.fromarray(self.picture), self.profile)

    def from_srgb(self, picture: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
        """An sRGB picture in this file's own colours."""
        if self.profile is None or not readable(self.profile):
            return picture
        own = ImageCms.ImageCmsProfile(io.BytesIO(self.profile))
        made = ImageCms.profileToProfile(Image.fromarray(picture), ImageCms.createProfile("sRGB"), own,
                                         outputMode="RGB")
        return picture if made is None else np.asarray(made)


def read_photo_file(path: Path, most_px: int = MOST_PX) -> PhotoFile:
    """Open a photo. InputRefused: no picture, damaged, animated, far too large or too small."""
    register_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit comes first
            with Image.open(path, formats=OPENED) as image:
                check(image, path.name, most_px)
                return opened(image, path)
    except FileNotFoundError as error:
        raise UsageError("no_file", f"There is no file {path}.", "Give a photo.") from error
    except Image.DecompressionBombError as error:
        raise too_large(path.name, most_px) from error
    except UnidentifiedImageError as error:
        raise InputRefused("not_a_photo", f"{path.name} is no photo, whatever its name says.",
                           "Give JPEG, PNG, WebP, AVIF, HEIC or TIFF.") from error
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise InputRefused("unreadable_photo", f"{path.name} is damaged or cut off.",
                           "Copy it again from the camera.") from error


def register_heif() -> None:
    """Let Pillow read and write HEIC, and load its own formats."""
    import pillow_heif

    Image.init()
    pillow_heif.register_heif_opener()


def check(image: Image.Image, name: str, most_px: int) -> None:
    """Before any pixel is decoded."""
    width, height = image.size
    if width * height > most_px:
        raise too_large(name, most_px)
    if min(width, height) < LEAST_SIDE_PX:
        raise InputRefused("photo_too_small", f"{name} has only {width} x {height} pixels.", "Send the original photo.")
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1 and image.format != "HEIF":
        raise InputRefused("animated", f"{name} has {getattr(image, 'n_frames', 1)} pictures in it.",
                           "Save the one you mean as a photo of its own.")


def too_large(name: str, most_px: int) -> InputRefused:
    """The refusal of pixel floods."""
    return InputRefused("photo_too_large", f"{name} has more than {most_px / 1e6:.0f} million pixels.",
                        "Save it smaller: 12 million pixels are plenty.")


def opened(image: Image.Image, path: Path) -> PhotoFile:
    """The record of an image that was checked."""
    notes: list[str] = []
    bits = depth(image, path)
    if bits > 8:
        notes.append(f"{bits} bits per channel were reduced to 8.")
    profile = image.info.get("icc_profile") or None
    read_as = READ_AS[image.format or "PNG"]
    tables = {"qtables": getattr(image, "quantization", None), "subsampling": sampling(image)} \
        if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "YCbCr") else None
    upright = ImageOps.exif_transpose(image)
    alpha = None
    if upright.mode in ("CMYK", "LAB"):
        used = profile if profile and readable(profile) else None
        picture = in_srgb(upright, used)
        notes.append(f"It was {upright.mode}, for print, and became sRGB"
                     + (" by its profile." if used else ", without a profile that could be used: colours may be off."))
        profile = None
    else:
        alpha = opacity(upright)
        if not upright.mode.startswith("RGB"):
            profile = None  # a grey or palette profile fits no RGB
        picture = np.asarray(eight_bit(upright).convert("RGB"))
    return PhotoFile(name=path.name, format=read_as, picture=picture, alpha=alpha, profile=profile,
                     notes=tuple(notes), jpeg=tables, focal_px=focal_px(image))


def depth(image: Image.Image, path: Path) -> int:
    """Bits per channel of the file (Pillow gives 8 of 16)."""
    if image.format == "PNG":
        with open(path, "rb") as file:
            return file.read(25)[24]
    if image.format == "TIFF":
        return max(int(b) for b in np.atleast_1d(getattr(image, "tag_v2", {}).get(258, 8)))
    return int(image.info.get("bit_depth", 16 if image.mode.startswith("I") else 8))


def sampling(image: Image.Image) -> int:
    """Chroma subsampling of a JPEG, as Pillow writes it; 4:2:0 where it cannot tell."""
    from PIL.JpegImagePlugin import get_sampling

    found = get_sampling(image)
    return found if found >= 0 else 2


def eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits, where Pillow would cut it off."""
    if image.mode.startswith("I"):
        return Image.fromarray(np.clip(np.rint(np.asarray(image, np.float64) / 257), 0, 255).astype(np.uint8))
    return image


def opacity(image: Image.Image) -> UInt8[np.ndarray, "h w"] | None:
    """Alpha, when the file has any and it is not opaque throughout."""
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return None
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    return None if alpha.min() == 255 else alpha


def readable(profile: bytes) -> bool:
    """Whether a colour profile can be opened."""
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (ImageCms.PyCMSError, OSError):
        return False
    return True


def in_srgb(image: Image.Image, profile: bytes | None) -> UInt8[np.ndarray, "h w 3"]:
    """Convert by the profile; without one, or with a broken one, as Pillow does."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            made = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if made is not None:
                return np.asarray(made)
        except (ImageCms.PyCMSError, OSError):
            pass
    return np.asarray(image.convert("RGB"))


def write_photo_file(path: Path, picture: UInt8[np.ndarray, "h w 3"], like: PhotoFile) -> tuple[str, ...]:
    """Write a picture in the format of `path`'s ending, in the colours and with the opacity of the file it came from.

    JPEG keeps the source's own quality, when it was one. Returns notes for the person. UsageError: another format.
    """
    chosen = FORMATS.get(path.suffix.lower())
    if chosen is None:
        raise UsageError("photo_format", f"{path.suffix or 'No ending'} is no format that photos are written in.",
                         f"Use one of {', '.join(sorted(FORMATS))}.")
    register_heif()
    notes, image = [], Image.fromarray(picture)
    if like.alpha is not None and like.alpha.shape == picture.shape[:2]:
        if chosen in OPAQUE_ONLY:
            white = Image.new("RGB", image.size, "white")
            image = Image.composite(image, white, Image.fromarray(like.alpha))
            notes.append("JPEG has no transparency: what was transparent became white.")
        else:
            image.putalpha(Image.fromarray(like.alpha))
    how: dict[str, Any] = {} if like.profile is None else {"icc_profile": like.profile}
    if chosen == "jpeg" and like.jpeg is not None:
        how |= like.jpeg
    elif chosen in QUALITY:
        how |= {"quality": QUALITY[chosen]} | ({"subsampling": 0} if chosen == "jpeg" else {})
    file = io.BytesIO()
    image.save(file, format={"heic": "HEIF"}.get(chosen, chosen.upper()), **how)
    write_bytes(path, file.getvalue())
    return tuple(notes)
