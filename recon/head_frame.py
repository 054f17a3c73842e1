"""Head frame: a scene of structure from motion moved to where a bundle's landmarks lie."""

import numpy as np
from jaxtyping import Bool, Float

from core.transforms import umeyama
from recon.bundle import Bundle
from recon.observations import Observations
from recon.tracks import OVAL


def in_head_frame(cams: Float[np.ndarray, "n 4 4"], points: Float[np.ndarray, "p 3"], placed: Bool[np.ndarray, "n"],
                  focal_px: Float[np.ndarray, "g"], seen: Observations, start: Bundle) -> tuple[
                      Float[np.ndarray, "n 4 4"], Float[np.ndarray, "p 3"], float]:
    """Move the scene (by a similarity) so that its landmarks lie on the bundle's; also the median turn (rad) between
    its cameras and the bundle's."""
    marks = triangulated(cams, placed, focal_px, seen, start)
    known = np.isfinite(marks).all(1)
    weight = np.ones(known.sum())
    for _ in range(8):
        size, turn, shift = umeyama(marks[known], start.landmarks[known], weight)
        miss = np.linalg.norm(size * marks[known] @ turn.T + shift - start.landmarks[known], axis=1)
        weight = 1 / (1 + (miss / np.median(miss)) ** 2)
    moved = np.full_like(cams, np.nan)
    moved[placed] = np.eye(4)
    moved[placed, :3, :3] = cams[placed, :3, :3] @ turn.T
    moved[placed, :3, 3] = size * cams[placed, :3, 3] - moved[placed, :3, :3] @ shift
    trace = np.einsum("nij,nij->n", moved[placed, :3, :3], start.cam_from_head[placed, :3, :3])
    return moved, size * points @ turn.T + shift, float(np.median(np.arccos(np.clip((trace - 1) / 2, -1, 1))))


def triangulated(cams: Float[np.ndarray, "n 4 4"], placed: Bool[np.ndarray, "n"], focal_px: Float[np.ndarray, "g"],
                 seen: Observations, start: Bundle) -> Float[np.ndarray, "478 3"]:
    """The landmarks in the scene: nearest to the rays of the views where the bundle trusts them (reweighted five
    times); NaN for those of the face's outline, which slide, for the irises, and where three views are missing."""
    out = np.full((478, 3), np.nan)
    rays, weight = [], start.weight[placed]
    rows = np.flatnonzero(placed)
    for k in rows:
        middle = (seen.size_wh[k] - 1) / 2
        ray = np.column_stack([(seen.points_px[k] - middle) / focal_px[seen.lens[k]], np.ones(478)]) @ cams[k, :3, :3]
        rays.append(ray / np.linalg.norm(ray, axis=1, keepdims=True))
    centre = -np.einsum("nij,ni->nj", cams[rows, :3, :3], cams[rows, :3, 3])
    for mark in sorted(set(range(468)) - set(OVAL)):
        used = weight[:, mark] > 0
        if used.sum() < 3:
            continue
        ray = np.stack(rays)[used, mark]
        across = np.eye(3) - ray[:, :, None] * ray[:, None, :]
        w = np.ones(len(ray))
        for _ in range(5):
            point = np.linalg.solve((w[:, None, None] * across).sum(0),
                                    (w[:, None] * np.einsum("nij,nj->ni", across, centre[used])).sum(0))
            miss = np.linalg.norm(np.einsum("nij,nj->ni", across, point - centre[used]), axis=1)
            w = 1 / (1 + (miss / np.maximum(np.median(miss), 1e-9)) ** 2)
        out[mark] = point
    return out
