"""Spectacles: where rims, bridge and side pieces hide the skin of a face in a picture.

They move with the head, a centimetre before it: flow measures their depth as willingly as the skin's, and the skin was
drawn out to them. Dark lines only are found, not clear lenses nor rims of wire thinner than a pixel or two.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from recon.face478 import FOREHEAD, OUTER_EYE, UNDER_NOSE
from recon.quality import dark_lines
from recon.tracks import MOVING

WORN = 0.25
"""Median darkness of `dark_lines`, beyond which a person wears spectacles: bare faces have 0.13 at most."""
WIDEST, AROUND = 0.045, 0.02
"""Shares of the face's height: no rim is wider; beside one, flow sees both."""
DARKER = 0.7
"""A rim is everywhere at least so much as dark as where it was found; brows and lashes seldom are."""
BETWEEN = (10, 4)
"""Above is hair, below are nostrils and lips, dark lines too: landmarks between whose heights rims are looked for."""
VIEWS = 7
"""The most frontal ones tell whether spectacles are worn."""
ASIDE_RAD = 0.15


def darkness(points_px: Float[np.ndarray, "n 478 2"], pictures: Callable[[int], UInt8[np.ndarray, "h w 3"]]) -> float:
    """How dark the rims are that a person wears, as a share of the skin beside them; 0 for nobody's."""
    width = np.linalg.norm(points_px[:, OUTER_EYE[0]] - points_px[:, OUTER_EYE[1]], axis=1)
    frontal = np.argsort(-width / np.ptp(points_px[..., 1], axis=1))[:VIEWS]
    dark = float(np.median([dark_lines(pictures(int(k)), points_px[k]) for k in frontal]))
    return dark if dark > WORN else 0.0


def trusted(visible: Float[np.ndarray, "n 478"], yaw_rad: Float[np.ndarray, "n"], pins: Float[np.ndarray, "478 3"],
            ) -> Float[np.ndarray, "n 478"]:
    """What is visible of a face that wears spectacles (pins: of any head), less what is not believed: in views from the
    side the network draws eyes, brows and nose along with the rims, by 4 mm at 30 degrees of yaw and 10 at 50 (without
    them by 1 and 4), as if these lay as far before the face."""
    height = pins[:, 1]
    out = visible.copy()
    out[np.ix_(np.abs(yaw_rad) > ASIDE_RAD, (height > height[UNDER_NOSE[0]]) & (height < height[FOREHEAD[1]]))] = 0
    return out


def rims_in(picture: UInt8[np.ndarray, "h w 3"], points_px: Float[np.ndarray, "478 2"], darker: float) -> UInt8[
        np.ndarray, "h w"]:
    """1 on lines at the eyes' height that are darker than what is around them by such a share, and beside them."""
    height = float(np.ptp(points_px[:, 1]))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    filled = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, disc(WIDEST * height / 2))
    dark = (filled.astype(np.float32) - grey > darker * filled).astype(np.uint8)
    top = points_px[BETWEEN[0]]
    down = points_px[BETWEEN[1]] - top
    rows, columns = np.indices(grey.shape, np.float32)
    along = ((columns - top[0]) * down[0] + (rows - top[1]) * down[1]) / (down @ down)
    dark[(along < 0) | (along > 1)] = 0
    return cv2.dilate(without_eyes(dark, points_px, AROUND * height), disc(AROUND * height))


def without_eyes(dark: UInt8[np.ndarray, "h w"], points_px: Float[np.ndarray, "478 2"], beside_px: float) -> UInt8[
        np.ndarray, "h w"]:
    """The dark places without those that lie within an eye and its lashes."""
    eyes = np.zeros_like(dark)
    for loop in MOVING[:2]:
        cv2.fillPoly(eyes, [cv2.convexHull(np.rint(points_px[list(loop)]).astype(np.int32))], 1)
    count, label = cv2.connectedComponents(dark, connectivity=8)
    beyond = np.zeros(count, np.uint8)
    beyond[np.unique(label[cv2.dilate(eyes, disc(beside_px)) == 0])] = 1
    return dark * beyond[label]


def disc(radius_px: float) -> UInt8[np.ndarray, "k k"]:
    """A round structuring element."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(radius_px)) + 1,) * 2)
