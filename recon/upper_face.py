"""Upper face: what it says of the focal length on its own, and a scene settled on it alone where the lower face moved.

Of a rigid head, the upper face says what the whole says. A face that smiles or whose chin comes down slowly, most on
one side of the turn, is explained by another lens instead, surely and wrongly (8 % in a film with truth). A part's
answer is one Gauss-Newton step of all its unknowns from the settled scene.
"""

import copy

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


def step(scene: pycolmap.Reconstruction, number: int, part: Bool[np.ndarray, "p"]) -> tuple[float, float]:
    """How far from one lens's ln f a part (mask over the scene's points) would have it by itself, and the spread that
    the equations give to that."""
    own, at_pose, at_point, view, point, off = sightings(scene, number)
    noise = 1.4826 * np.median(np.abs(off))
    weight = 1 / np.sqrt(1 + (off**2).sum(1) / SETTLED_PX**2) / noise**2  # that of the loss which settled the scene
    rows = part[point]
    _, dense = np.unique(point[rows], return_inverse=True)
    H, g = reduced(own[rows, :, :1], at_pose[rows], at_point[rows], view[rows], dense, off[rows], weight[rows])
    inverse = np.linalg.inv(H)
    return -float((inverse @ g)[0]), float(np.sqrt(inverse[0, 0]))


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
    told = [step(scene, number, upper) for number in scene.cameras]
    if all(abs(off) <= SURE * spread for off, spread in told):
        return None
    alone = copy.deepcopy(scene)
    for point in np.array(list(scene.points3D.keys()))[~upper].tolist():
        alone.delete_point3D(point)
    adjust_all(alone)
    return alone
