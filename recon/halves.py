"""Halves: what parts of a scene's points say of its focal length on their own.

Of a rigid head, the upper face says what the whole says. A face that smiles or whose chin comes
down slowly, most on one side of the turn, is explained by another lens instead, surely and wrongly (7 % in a film with
truth): then the lower face is left out. And errors that neighbouring sightings share show as halves that disagree by
more than their spreads.

f_half - f_all has the variance of f_all where errors are independent, so that the root mean square of what halves say
off the whole is one sd of it (the delete-half jackknife: Shao & Wu 1989). A half's answer is one Gauss-Newton step of
all its unknowns from the settled scene.
"""

import copy
from collections.abc import Sequence

import numpy as np
import pycolmap
from jaxtyping import Bool, Float

from core.transforms import umeyama
from recon.settle import SETTLED_PX, adjust_all, reduced, sightings

UPPER_MM = -20.0
"""Points above this height under the outer eye corners (model units): no mouth, no chin, little of the cheeks."""
SURE = 4.5
"""By how many of its spreads the upper face must be off the whole: 8.4 in the film of a smile, at most 2.7 in eight
others with truth."""
LEAST_POINTS = 100
"""Points of a part that is asked."""


def steps(scene: pycolmap.Reconstruction, number: int, parts: Sequence[Bool[np.ndarray, "p"]]) -> Float[
        np.ndarray, "h 2"]:
    """How far from one lens's ln f each part (masks over the scene's points) would have it by itself, and that
    step's spread."""
    own, at_pose, at_point, view, point, off = sightings(scene, number)
    noise = 1.4826 * np.median(np.abs(off))
    weight = 1 / np.sqrt(1 + (off**2).sum(1) / SETTLED_PX**2) / noise**2  # that of the loss which settled the scene
    out = []
    for part in parts:
        rows = part[point]
        _, dense = np.unique(point[rows], return_inverse=True)
        H, g = reduced(own[rows, :, :1], at_pose[rows], at_point[rows], view[rows], dense, off[rows], weight[rows])
        inverse = np.linalg.inv(H)
        out.append((-float((inverse @ g)[0]), float(np.sqrt(inverse[0, 0]))))
    return np.array(out)


def halves_sd(scene: pycolmap.Reconstruction, number: int) -> float:
    """One sd of a lens's ln f by the delete-half jackknife: the points halved along their three main directions."""
    at = np.array([p.xyz for p in scene.points3D.values()])
    along = (at - at.mean(0)) @ np.linalg.svd(at - at.mean(0), full_matrices=False)[2].T
    more = along > np.median(along, 0)
    parts = [side for k in range(2) for side in (more[:, k], ~more[:, k])]
    return float(np.sqrt((steps(scene, number, parts)[:, 0] ** 2).mean()))


def heights(scene: pycolmap.Reconstruction, cam_from_head: dict[int, Float[np.ndarray, "4 4"]]) -> Float[
        np.ndarray, "p"]:
    """How high (model units) the scene's points lie in the head's frame, in which its pictures have these cameras."""
    here = np.array([scene.images[image].projection_center() for image in cam_from_head])
    there = np.array([-pose[:3, :3].T @ pose[:3, 3] for pose in cam_from_head.values()])
    size, turn, shift = umeyama(here, there)
    at = np.array([p.xyz for p in scene.points3D.values()])
    return np.asarray((size * at @ turn.T + shift)[:, 1])


def upper_alone(scene: pycolmap.Reconstruction, cam_from_head: dict[int, Float[np.ndarray, "4 4"]],
                ) -> pycolmap.Reconstruction | None:
    """The scene settled on the upper face alone, where the lower one moved; None where it says what the whole says."""
    upper = heights(scene, cam_from_head) > UPPER_MM
    if upper.sum() < LEAST_POINTS:
        return None
    told = np.concatenate([steps(scene, number, [upper]) for number in scene.cameras])
    if (np.abs(told[:, 0]) <= SURE * told[:, 1]).all():
        return None
    alone = copy.deepcopy(scene)
    for point in np.array(list(scene.points3D.keys()))[~upper].tolist():
        alone.delete_point3D(point)
    adjust_all(alone)
    return alone
