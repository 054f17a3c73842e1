"""Relight: skin that an operation turned in the light is as bright as the light that lit the picture makes it.

Letters: n0, n1 unit normals of one piece of skin before and after; s(n) what that light multiplies the skin's sRGB
colour by. The picture's own colour is multiplied by s(n1) / s(n0): grain, moles and colour casts stay, a hump's bright
side goes with the hump. Where normals did not change the factor is exactly one.
A is the skin's usual colour under an even light, I the picture. Skin in the shade (s(n0) < 1) that one photo shows
brighter than A s(n0) does not face as the fitted head's does (a neck that the head has as the floor of the chin): it
becomes no brighter than A s(n1).
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.channels import any_of, sum_of
from core.correspondence import Correspondence
from core.records import record
from synth.blur import blurred

Shade = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, "n 3"]]
"""sRGB factor of the light on skin with given head-frame unit normals; about one."""


@record
class RelightOptions:
    """darkest, brightest: the factor's limits. smooth_mm: fitted normals are smooth over no less; finer changes of
    them are the mesh's, not the person's. broad_mm: over which I is evened."""

    darkest: float = 0.6
    brightest: float = 1.6
    smooth_mm: float = 1.0
    broad_mm: float = 6.0


RELIGHT = RelightOptions()
LEAST_STEPS = 2.0
"""The light is worked out so often within the standard deviation of what smooths it."""


def light_ratio(flow: Correspondence, shade: Shade, frame: UInt8[np.ndarray, "h w 3"] | None = None,
                options: RelightOptions = RELIGHT) -> Float[np.ndarray, "h w 3"]:
    """The factor of every pixel's sRGB colour; one where the skin did not move. frame: the window before, when it is
    all that shows the person, and its head a guess."""
    sigma = max(options.smooth_mm * flow.px_per_mm, 0.5)
    step = max(1, int(sigma / LEAST_STEPS))  # so smooth a factor is worked out at every step-th pixel
    at = (slice(step // 2, None, step),) * 2
    before, after = flow.normals_before[at], flow.normals_after[at]
    turned = flow.moved[at] & any_of(before != after)
    if not turned.any():
        return np.ones((*flow.moved.shape, 3), np.float32)
    moved = flow.moved[at]
    lit, relit = shade(before[moved]), shade(after[moved])
    own = turned[moved]
    log = np.zeros(before.shape, np.float32)
    log[turned] = np.log(relit[own] / lit[own])
    if frame is not None:
        log[turned] -= excess(log[turned], flow, lit, relit, own, frame, at, options.broad_mm * flow.px_per_mm / step)
    covered = np.isfinite(flow.depth_after_mm[at]).astype(np.float32)
    weight = cv2.GaussianBlur(covered, (0, 0), sigma / step)
    log = cv2.GaussianBlur(log, (0, 0), sigma / step) / np.maximum(weight, 1e-3)[..., None]  # and beyond the silhouette
    ratio = np.exp(np.clip(log, np.log(options.darkest), np.log(options.brightest)))
    return enlarged(ratio, flow.moved.shape, step)


def excess(log: Float[np.ndarray, "n 3"], flow: Correspondence, lit: Float[np.ndarray, "m 3"],
           relit: Float[np.ndarray, "m 3"], turned: Bool[np.ndarray, "m"], frame: UInt8[np.ndarray, "h w 3"],
           at: tuple[slice, slice], broad_px: float) -> Float[np.ndarray, "n 1"]:
    """By how much a log factor makes skin brighter than A s(n1). lit, relit: s(n0) and s(n1) of the skin that moved, of
    the places `at`; turned: which of it the factor is of."""
    weight = np.isfinite(flow.depth_before_mm[at]).astype(np.float32)
    even = blurred(frame[at] * weight[..., None], broad_px) / np.maximum(blurred(weight, broad_px), 1e-3)[..., None]
    moved = flow.moved[at]
    y, x = np.nonzero(moved)
    there = np.stack([y, x], 1) + flow.flow_px[at][moved][:, ::-1] / (at[0].step or 1)
    y, x = np.clip(np.rint(there), 0, np.array(weight.shape) - 1).astype(int).T
    there_even = even[y, x]
    usual = np.median(there_even / lit, 0)
    after = sum_of(usual * relit[turned])
    brighter = sum_of(there_even[turned] * np.exp(log)) / np.maximum(after, 1)
    shaded = -np.log(lit[turned].mean(-1))  # a highlight is no error of the normal
    most = np.maximum(np.minimum(log.mean(-1), shaded), 0)
    return np.clip(np.log(np.maximum(brighter, 1)), 0, most)[:, None]


def enlarged(small: Float[np.ndarray, "a b 3"], shape: tuple[int, ...], step: int) -> Float[np.ndarray, "h w 3"]:
    """Values known at every step-th pixel, from the middle of the first step on, at all pixels of `shape`."""
    if step == 1:
        return small
    between = np.array([[1, 0, -(step // 2)], [0, 1, -(step // 2)]]) / step
    return cv2.warpAffine(small, between, shape[1::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                          borderMode=cv2.BORDER_REPLICATE)
