"""Register: the fitted head is moved, in the picture, onto what the picture shows.

A head fitted to all frames lies a millimetre beside the nose of one of them. Its own texture, drawn where it lies,
tells by how much: optical flow leads from there to the frame. What the operation does is then done so far over.
Letters: x where the head has a piece of skin before, x + r where the picture has it; p pixel after, q = p + u(p).
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float, Shaped

from core.channels import largest, length, sum_of
from core.correspondence import Correspondence
from core.records import record
from synth.backdrop import signed_distance
from synth.blur import blurred

SLIGHTEST_PX, LEAST_PX = 0.05, 16
"""A head that lies nowhere farther off stays; pictures narrower than the second tell nothing."""
FLAT = 0.5
"""Change (grey levels per pixel) from which skin tells where it is."""
ALIKE_PX = 0.25
"""Motions between which there may be a third; others are those of two things."""


@record
class RegisterOptions:
    """px_per_mm: pictures that are finer by a whole factor are reduced, so that the flow sees a few millimetres at a
    time. even_mm: over which r is evened. most_mm: what is longer is not believed. match_mm: over how far colours are
    compared. from_mm, to_mm: so far inside the fitted outline r begins to count, and counts in full: the outline itself
    is met by the matte."""

    px_per_mm: float = 2.3
    even_mm: float = 1.5
    most_mm: float = 1.5
    match_mm: float = 2.5
    from_mm: float = 0.5
    to_mm: float = 2.5


REGISTER = RegisterOptions()


def misplaced(frame: Float[np.ndarray, "h w 3"], drawn: Float[np.ndarray, "h w 3"], px_per_mm: float,
              options: RegisterOptions = REGISTER) -> Float[np.ndarray, "h w 2"]:
    """r of every pixel, px; zero where it does not make the two more alike.

    drawn: the head's texture before, black beside it.
    """
    step = max(1, round(px_per_mm / options.px_per_mm))
    to = frame.shape[1::-1]
    size = tuple(max(LEAST_PX, round(n / step)) for n in to)
    head = cv2.resize((largest(drawn) > 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT) > 0
    frame, drawn = (cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in (frame, drawn))
    grey, seen = (np.clip(sum_of(p) / 3, 0, 255).astype(np.uint8)
                  for p in (alike(drawn, frame, head, options.match_mm * px_per_mm / step), frame))
    r = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    r.setFinestScale(0)
    found = confirmed(r.calc(grey, seen, None), grey, seen, head, px_per_mm / step, options)
    enlarged: np.ndarray = cv2.resize(found, to, interpolation=cv2.INTER_LINEAR)
    return enlarged * (np.array(to, np.float32) / np.array(size, np.float32))


def alike(drawn: Float[np.ndarray, "h w 3"], frame: Float[np.ndarray, "h w 3"], head: np.ndarray,
          sigma_px: float) -> Float[np.ndarray, "h w 3"]:
    """The head's texture in the frame's local brightness, and the frame beside the head."""
    weight = head[..., None].astype(np.float32)
    lit, plain = (blurred(p * weight, max(sigma_px, 1.0)) + np.float32(1e-3) for p in (frame, drawn))
    return np.where(head[..., None], drawn * np.clip(lit / plain, 0.6, 1.6), frame)


def confirmed(r: Float[np.ndarray, "h w 2"], grey: np.ndarray, seen: np.ndarray, head: np.ndarray, px_per_mm: float,
              options: RegisterOptions) -> Float[np.ndarray, "h w 2"]:
    """r evened, each pixel by how much it has to tell, and as far as it halves the difference of the pictures."""
    inside, sigma = signed_distance(head), max(options.even_mm * px_per_mm, 1.0)
    even, now = (blurred(p.astype(np.float32), 1.0) for p in (grey, seen))
    slope = 8 * np.hypot(*(cv2.Sobel(now, cv2.CV_32F, *d, scale=1 / 8) for d in ((1, 0), (0, 1))))
    weight = (slope + FLAT) * (inside > options.most_mm * px_per_mm) * (length(r) < options.most_mm * px_per_mm)
    r = blurred(r * weight[..., None], sigma) / (blurred(weight, sigma) + np.float32(1e-3))[..., None]
    y, x = np.mgrid[:r.shape[0], :r.shape[1]].astype(np.float32)
    there = cv2.remap(now, x + r[..., 0], y + r[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    before, after = (blurred((even - p) ** 2 * head, sigma) for p in (now, there))
    better = blurred(np.clip(2 * (before - after) / np.maximum(before, 1e-3), 0, 1), sigma)
    counts = np.clip((inside / px_per_mm - options.from_mm) / (options.to_mm - options.from_mm), 0, 1)
    registered: np.ndarray = r * (better * counts)[..., None]
    return registered


class Registered:
    """A correspondence, and what is known in its window, moved by r."""

    def __init__(self, flow: Correspondence, r: Float[np.ndarray, "h w 2"]) -> None:
        height, width = flow.mask.shape
        y, x = np.mgrid[:height, :width].astype(np.float32)
        q = x + flow.flow_px[..., 0], y + flow.flow_px[..., 1]
        carried = cv2.remap(r, *q, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self.from_after, self.from_before = ((x - d[..., 0], y - d[..., 1]) for d in (carried, r))
        motion, between = self.one_of(flow.flow_px), self.after(flow.flow_px)
        close = largest(np.abs(between - motion)) < ALIKE_PX
        self.flow = dataclasses.replace(
            flow, flow_px=np.where(close[..., None], between, motion),
            depth_after_mm=self.one_of(flow.depth_after_mm), from_depth_mm=self.one_of(flow.from_depth_mm),
            normals_before=self.one_of(flow.normals_before), normals_after=self.one_of(flow.normals_after),
            moved=self.one_of(flow.moved.astype(np.uint8)) > 0,
            depth_before_mm=cv2.remap(flow.depth_before_mm, *self.from_before, cv2.INTER_NEAREST,
                                      borderMode=cv2.BORDER_REPLICATE))

    def one_of(self, known: Shaped[np.ndarray, "h w *c"]) -> Shaped[np.ndarray, "h w *c"]:
        """What is known of the picture after and must not be mixed."""
        return cv2.remap(known, *self.from_after, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)

    def after(self, known: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
        """What is known of the picture after."""
        return cv2.remap(known, *self.from_after, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def before(self, known: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
        """What is known of the picture before."""
        return cv2.remap(known, *self.from_before, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def skin_off(frame: Float[np.ndarray, "h w 3"], flow: Correspondence, drawn: Float[np.ndarray, "h w 3"],
             options: RegisterOptions = REGISTER) -> Float[np.ndarray, "h w 2"] | None:
    """r of every pixel of the window, px; None where the head lies on the picture's skin already. frame, drawn: its
    window."""
    if min(flow.mask.shape) < LEAST_PX:
        return None
    r = misplaced(frame, drawn, flow.px_per_mm, options)
    return r if float(length(r).max()) > SLIGHTEST_PX else None
