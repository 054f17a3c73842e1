"""Relight: skin that an operation turned in the light is as bright as the light that lit the picture makes it.

Letters: n0, n1 unit normals of one piece of skin before and after; s(n) what that light multiplies the skin's sRGB
colour by. The picture's own colour is multiplied by s(n1) / s(n0): grain, moles and colour casts stay, a hump's bright
side goes with the hump. Where normals did not change the factor is exactly one.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float

from core.correspondence import Correspondence
from core.records import record

Shade = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, "n 3"]]
"""sRGB factor of the light on skin with given head-frame unit normals; about one."""


@record
class RelightOptions:
    """darkest, brightest: the factor's limits. smooth_mm: fitted normals are smooth over no less; finer changes of
    them are the mesh's, not the person's."""

    darkest: float = 0.6
    brightest: float = 1.6
    smooth_mm: float = 1.0


RELIGHT = RelightOptions()


def light_ratio(flow: Correspondence, shade: Shade, options: RelightOptions = RELIGHT) -> Float[np.ndarray, "h w 3"]:
    """The factor of every pixel's sRGB colour; one where the skin did not move."""
    log = np.zeros((*flow.moved.shape, 3), np.float32)
    turned = flow.moved & np.any(flow.normals_before != flow.normals_after, axis=-1)
    if not turned.any():
        return np.ones_like(log)
    log[turned] = np.log(shade(flow.normals_after[turned]) / shade(flow.normals_before[turned]))
    covered = np.isfinite(flow.depth_after_mm).astype(np.float32)
    sigma = max(options.smooth_mm * flow.px_per_mm, 0.5)
    weight = cv2.GaussianBlur(covered, (0, 0), sigma)
    log = cv2.GaussianBlur(log, (0, 0), sigma) / np.maximum(weight, 1e-3)[..., None]  # and on beyond the silhouette
    return np.exp(np.clip(log, np.log(options.darkest), np.log(options.brightest)))
