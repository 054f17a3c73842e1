"""Open eyes: in which views, and on which side, the lids leave enough of the iris to be measured.

Where an eye is shut, the network still places its five iris points somewhere on the lid: whatever reads them (the size
of the iris gives millimetres) has to ask here first.
"""

import numpy as np
from jaxtyping import Bool, Float

from recon.face478 import EYE_HEIGHTS, EYE_WIDTH

LEAST_OPENING = 0.15
"""Opening over width of an eye from which its iris is seen at its width, 3 % short at most.

The opening measured here is 1 / 1.13 of the one in the middle of the eye, and an iris of 11.7 mm is 0.45 of the eye's
width (both medians of 16 films): 0.15 is an opening of 4.4 mm. With its lower edge at the lower lid, the widest visible
chord of the iris is then 2 sqrt(5.85^2 - 1.45^2) = 11.3 mm. Detected, with |yaw| < 20 degrees: 0.22 to 0.42 in films
with open eyes, 0.19 at the least in 29 photos, where men smile with narrowed eyes, and 0.11 at the most in a film with
closed eyes and in the shut frames of a blink.
"""


def eye_openings(points_px: Float[np.ndarray, "n 478 2"]) -> Float[np.ndarray, "n 2"]:
    """Opening over width of the patient's right and left eye in each view; about 0.3 in a face at rest.

    Opening: mean of two distances between the lids. Width: of the wider of both eyes in that picture, since a turn of
    the head foreshortens the far eye's width and not its opening; a nod of 20 degrees takes 6 %.
    """
    def length(a: int, b: int) -> Float[np.ndarray, "n"]:
        return np.linalg.norm(points_px[:, a] - points_px[:, b], axis=1)

    widest = np.maximum(*(length(a, b) for a, b in EYE_WIDTH))
    openings = np.stack([np.mean([length(a, b) for a, b in pairs], axis=0) for pairs in EYE_HEIGHTS], 1)
    return openings / np.maximum(widest, 1e-6)[:, None]  # a face of no size has shut eyes


def open_eyes(points_px: Float[np.ndarray, "n 478 2"]) -> Bool[np.ndarray, "n 2"]:
    """Whether the patient's right and left eye (in this order) are open enough in each view for the iris to be seen.

    points_px: detected 478-point sightings. A far eye behind the nose may count as open: ask for near-frontal views.
    """
    return eye_openings(points_px) >= LEAST_OPENING
