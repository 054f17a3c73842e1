"""Crop: the square around a mask that the model sees, at the picture's own aspect, and the way back.

A square of whole pixels is cut (what lies outside the picture repeats its edge), resized to `SIZE_PX`, and what comes
back is resized to the square again. Nothing is ever squashed.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from core.camera import Camera
from core.errors import InputRefused
from core.records import record

SIZE_PX = 512
"""Stable Diffusion 1.5 was trained at this size."""
CONTEXT, FACE_CONTEXT = 1.6, 3.0
"""Side of the square over the mask's longer side, at least: the model sees the skin around what it paints. Where the
face's size is known, the square grows to three times the mask, but not beyond the face: ControlNet learnt whole faces,
and a nose alone has no contour in its control picture."""
FACE_MM = np.array([[0.0, 65, 0], [0, -125, 0], [78, -25, -45], [-78, -25, -45]])
"""Top, chin and sides of an adult face in the head frame."""
LEAST_PX = 64
TOUCHED = 1 / 255


@record
class Crop:
    """Top-left pixel (x0, y0) and side of a square in the picture; size_px: the side of what the model sees."""

    x0: int
    y0: int
    side: int
    size_px: int = SIZE_PX

    def camera(self, camera: Camera) -> Camera:
        """The camera that sees exactly this crop at size_px: pixel centres at integers, so that x of the picture
        becomes (x - x0 + 1/2) s - 1/2."""
        scale = self.size_px / self.side
        shift = np.array([[scale, 0, (0.5 - self.x0) * scale - 0.5], [0, scale, (0.5 - self.y0) * scale - 0.5],
                          [0, 0, 1]])
        return Camera(K_px=shift @ camera.K_px, distortion=camera.distortion, cam_from_head=camera.cam_from_head,
                      size_wh=(self.size_px, self.size_px))

    def cut(self, picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
        """The crop of a picture, at size_px."""
        return resized(self.square(picture), self.size_px)

    def cut_mask(self, mask: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "s s"]:
        """The crop of a mask, at size_px; zero outside the picture."""
        return np.clip(resized(self.square(mask.astype(np.float32), inside=False), self.size_px), 0, 1)

    def square(self, values: np.ndarray, inside: bool = True) -> np.ndarray:
        """The crop at the picture's own pixels; outside the picture its edge repeats, or is zero."""
        h, w = values.shape[:2]
        y0, y1, x0, x1 = max(self.y0, 0), min(self.y0 + self.side, h), max(self.x0, 0), min(self.x0 + self.side, w)
        border = [(y0 - self.y0, self.y0 + self.side - y1), (x0 - self.x0, self.x0 + self.side - x1)]
        border += [(0, 0)] * (values.ndim - 2)
        return np.pad(values[y0:y1, x0:x1], border, mode="edge" if inside else "constant")

    def put_back(self, painted: UInt8[np.ndarray, "s s 3"], picture: UInt8[np.ndarray, "h w 3"],
                 mask: Float[np.ndarray, "h w"], keep_grain: bool = True) -> UInt8[np.ndarray, "h w 3"]:
        """The picture with the painted crop blended in by the mask. Where the mask is 0 its pixels are untouched.

        keep_grain: what is finer than the crop's pixels (pores, hair) comes from the picture itself.
        """
        own = self.square(picture).astype(np.float32)
        new = resized(painted.astype(np.float32), self.side)
        if keep_grain and self.side > self.size_px:
            new = new + own - resized(resized(own, self.size_px), self.side)
        h, w = picture.shape[:2]
        y0, y1, x0, x1 = max(self.y0, 0), min(self.y0 + self.side, h), max(self.x0, 0), min(self.x0 + self.side, w)
        inner = np.s_[y0 - self.y0:y1 - self.y0, x0 - self.x0:x1 - self.x0]
        weight = mask[y0:y1, x0:x1, None].astype(np.float32)
        blended = np.rint(np.clip(own[inner] + weight * (new[inner] - own[inner]), 0, 255)).astype(np.uint8)
        out = picture.copy()
        out[y0:y1, x0:x1] = np.where(weight > 0, blended, picture[y0:y1, x0:x1])
        return out


def face_side_px(camera: Camera) -> float:
    """The longer side of an adult's face in a camera's picture; 0 when it is not before the camera."""
    points = camera.px_from_points(FACE_MM)
    return float(np.ptp(points, axis=0).max()) if np.isfinite(points).all() else 0.0


def crop_around(mask: Float[np.ndarray, "h w"], size_px: int = SIZE_PX, face_px: float = 0.0) -> Crop:
    """The square around what a mask covers, with context; face_px: the longer side of the face, 0 where unknown.

    InputRefused: the mask covers nothing.
    """
    rows, columns = np.flatnonzero((mask > TOUCHED).any(1)), np.flatnonzero((mask > TOUCHED).any(0))
    if not len(rows):
        raise InputRefused("empty_mask", "The mask of this view covers nothing: nothing of the plan is seen in it.",
                           "The picture stays as warp3d made it; choose a view that shows the treated region.")
    extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    h, w = mask.shape
    wanted = max(extent * CONTEXT, min(extent * FACE_CONTEXT, face_px))
    side = int(np.clip(np.ceil(wanted), LEAST_PX, max(h, w, extent)))
    x0, y0 = (int(round(middle - side / 2)) for middle in ((columns[0] + columns[-1] + 1) / 2,
                                                            (rows[0] + rows[-1] + 1) / 2))
    return Crop(x0=inside(x0, side, w), y0=inside(y0, side, h), side=side, size_px=size_px)


def inside(start: int, side: int, length: int) -> int:
    """A square's start moved so that it lies in the picture, or centred over it where it is larger."""
    return (length - side) // 2 if side > length else min(max(start, 0), length - side)


def resized(values: np.ndarray, size: int) -> np.ndarray:
    """A square at another size: means of areas when it shrinks, cubic when it grows."""
    if values.shape[0] == size:
        return values
    shrinks = size < values.shape[0]
    return cv2.resize(values, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
