"""Settle: a scene of structure from motion adjusted to the end, and what it then says of its lenses.

Letters as in `recon.lens`. The film's own scene says k: cameras, points, f and k are adjusted together, and the inverse
normal equations say how sure f and k are.
"""

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import pycolmap
from jaxtyping import Float, Int

from recon.lens import Lens

SETTLED_PX = 0.3
"""Residuals beyond this count linearly."""
UNDERSTATED_FOCAL, UNDERSTATED_K = 5.0, 1.5
"""By how much the equations understate the spreads of ln f and k: neighbouring sightings err alike. Of f, the root mean
square of error over equations' spread in seven films with truth, 4.1 (7.6 in a turn of 35 degrees, 6.6 under strong
compression), and as much more as 95 % of Student's t of seven lie beyond the normal's."""


def settle(scene: pycolmap.Reconstruction, least_length: int, points: int) -> None:
    """Adjust the cameras and the longest tracks (`points` of at least so many views) once more, robustly and to the end
    (in place); the others are dropped.

    The focal length lies in a long flat valley (0.5 % of it costs a thousandth of the error), in which mapping stops
    early, and short tracks pull it along: 0.48 and 0.49 % short in two captures, 0.18 and 0.08 % after this.
    """
    lengths = sorted(p.track.length() for p in scene.points3D.values())
    shortest = max(least_length, *lengths[-points:][:1])
    for number in [number for number, p in scene.points3D.items() if p.track.length() < shortest]:
        scene.delete_point3D(number)
    adjust_all(scene)


def adjust_all(scene: pycolmap.Reconstruction) -> None:
    """Every unknown of the scene (in place)."""
    adjust = pycolmap.BundleAdjustmentOptions()
    adjust.ceres.loss_function_type, adjust.ceres.loss_function_scale = pycolmap.LossFunctionType.SOFT_L1, SETTLED_PX
    adjust.ceres.solver_options.function_tolerance = 1e-6
    with quiet():
        pycolmap.bundle_adjustment(scene, adjust)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing on the terminal: these two calls of pycolmap write their log there whatever its level."""
    terminal = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def lenses_of(scene: pycolmap.Reconstruction) -> dict[int, Lens]:
    """The lenses of a settled scene by their camera's number; all of it is adjusted with a k for each (in place)."""
    for camera in scene.cameras.values():
        camera.model, camera.params = pycolmap.CameraModelId.SIMPLE_RADIAL, [*camera.params, 0.0]
    adjust_all(scene)
    out = {}
    for number, camera in scene.cameras.items():
        focal_sd, k_sd = (np.array([UNDERSTATED_FOCAL, UNDERSTATED_K]) * lens_sd(scene, number)).tolist()
        out[number] = Lens(focal_px=float(camera.params[0]), focal_sd=focal_sd, k=float(camera.params[3]), k_sd=k_sd)
    return out


def lens_sd(scene: pycolmap.Reconstruction, number: int) -> Float[np.ndarray, "2"]:
    """Spreads of ln f and k of one lens, points and poses being unknown too."""
    own, at_pose, at_point, view, point, off = sightings(scene, number)
    noise = 1.4826 * np.median(np.abs(off))
    weight = 1 / (1 + (off**2).sum(1) / (2 * noise) ** 2) / noise**2
    H, _ = reduced(own, at_pose, at_point, view, point, off, weight)
    return np.sqrt(np.diag(np.linalg.inv(H))[:2])


def reduced(own: Float[np.ndarray, "m 2 q"], at_pose: Float[np.ndarray, "m 2 6"], at_point: Float[np.ndarray, "m 2 3"],
            view: Int[np.ndarray, "m"], point: Int[np.ndarray, "m"], off: Float[np.ndarray, "m 2"],
            weight: Float[np.ndarray, "m"]) -> tuple[Float[np.ndarray, "c c"], Float[np.ndarray, "c"]]:
    """J'WJ and J'Wr of a lens's own unknowns and the poses, without the points (Schur complements). The scene may be
    moved and scaled, which touches neither f nor k; a ridge makes that harmless."""
    J, many = np.concatenate([own, at_pose], 2), own.shape[2]
    count, size = int(point.max()) + 1, many + 6 * (int(view.max()) + 1)
    H, V, B = np.zeros((size, size)), np.tile(1e-6 * np.eye(3), (count, 1, 1)), np.zeros((size, count, 3))
    g, g_point = np.zeros(size), np.zeros((count, 3))
    np.add.at(V, point, np.einsum("mia,mib,m->mab", at_point, at_point, weight))
    np.add.at(g_point, point, np.einsum("mia,mi,m->ma", at_point, off, weight))
    both, cross = np.einsum("mia,mib,m->mab", J, J, weight), np.einsum("mia,mib,m->mab", J, at_point, weight)
    pull = np.einsum("mia,mi,m->ma", J, off, weight)
    for row in range(int(view.max()) + 1):
        index, here = np.concatenate([np.arange(many), many + 6 * row + np.arange(6)]), view == row
        H[np.ix_(index, index)] += both[here].sum(0)
        g[index] += pull[here].sum(0)
        np.add.at(B, (index[:, None], point[None, here]), cross[here].transpose(1, 0, 2))
    half = (B.transpose(1, 0, 2) @ np.linalg.inv(V)).transpose(1, 0, 2).reshape(size, -1)
    ridge = 1e-9 * np.diag(np.diag(H)) + 1e-12 * np.eye(size)  # a view may show nothing of a part
    return H - half @ B.reshape(size, -1).T + ridge, g - half @ g_point.ravel()


def sightings(scene: pycolmap.Reconstruction, number: int) -> tuple[np.ndarray, ...]:
    """Of all sightings of one lens: how ln f and k (M,2,2), the pose (M,2,6) and the point (M,2,3) move the pixel; view
    and point numbers from 0; residuals (M,2) px."""
    f, cx, cy, *bend = scene.cameras[number].params
    k = bend[0] if bend else 0.0
    images = [i for i in scene.images.values() if i.has_pose and i.camera_id == number]
    rows = {image.image_id: row for row, image in enumerate(images)}
    seen = [(rows[e.image_id], at, scene.images[e.image_id].points2D[e.point2D_idx].xy)
            for at, p in enumerate(scene.points3D.values()) for e in p.track.elements if e.image_id in rows]
    view, point = (np.array([s[k] for s in seen]) for k in (0, 1))
    pose = np.stack([image.cam_from_world().matrix() for image in images])[view]
    about = np.einsum("mij,mj->mi", pose[:, :, :3], np.array([p.xyz for p in scene.points3D.values()])[point])
    cam = about + pose[:, :, 3]
    xy = cam[:, :2] / cam[:, 2:]
    r2 = (xy**2).sum(1, keepdims=True)
    bent = f * ((1 + k * r2)[..., None] * np.eye(2) + 2 * k * xy[:, :, None] * xy[:, None, :])
    flat = np.concatenate([np.tile(np.eye(2), (len(xy), 1, 1)), -xy[..., None]], 2) / cam[:, 2:, None]
    turned = np.stack([np.cross(axis, about) for axis in np.eye(3)], 2)
    own = np.stack([f * xy * (1 + k * r2), f * xy * r2], 2)
    to_cam = bent @ flat
    return (own, np.concatenate([to_cam @ turned, to_cam], 2), to_cam @ pose[:, :, :3], view, point,
            own[..., 0] + [cx, cy] - np.array([s[2] for s in seen]))
