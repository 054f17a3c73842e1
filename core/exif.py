"""What a photo's metadata says of the lens; nothing else of it is used."""

import numpy as np
from PIL import Image

DIAGONAL_35MM = 43.27
"""Diagonal of the 36 x 24 mm frame, mm."""
FOCAL_35MM_TAG, EXIF_IFD = 0xA405, 0x8769


def focal_px(image: Image.Image) -> float | None:
    """Focal length from EXIF: f = FocalLengthIn35mmFilm / 43.27 mm x the picture's diagonal in px.

    Cameras state the equivalent by the diagonal of the 36 x 24 mm frame (CIPA DCG-001); None when it is missing or 0.
    """
    stated = image.getexif().get_ifd(EXIF_IFD).get(FOCAL_35MM_TAG)
    try:
        f35 = float(stated) if stated else 0.0
    except (TypeError, ValueError):
        return None
    if not 8 <= f35 <= 400:
        return None
    return f35 / DIAGONAL_35MM * float(np.hypot(*image.size))
