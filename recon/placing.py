"""Placing: pictures in which no face is found, the profiles at the ends of a turn, get their cameras from the skin.

Nearest in time to a placed picture first: its camera is guessed from the turn so far, the placed pictures that look
from about the same side are laid into it over the fitted head, and optical flow says where their skin really is (as in
`recon.dense`). These pairs of places on the head and pixels give the camera (Gauss-Newton, Cauchy weights), and from
there it goes again. A picture whose skin does not agree is left out.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from core.progress import Progress, silent
from core.records import record
from core.transforms import rigid, rotation_from_vector
from recon.dense import EDGE_PX, Companion, DenseOptions, Reference, evened, flow_engine

Picture = UInt8[np.ndarray, "h w 3"]


@record
class PlaceOptions:
    """references: placed pictures compared with each. apart_rad: farther off their skin is another. rounds: guesses.
    longest_px: side of the pictures compared. step_px: every so many pixels is a pair. least_alike: correlation of the
    skin in both pictures, below which it is not the same. least_pairs, most_px: fewer, or a larger median residual, and
    a picture is not believed. spread_px: residuals beyond lose weight."""

    references: int = 3
    apart_rad: float = 0.6
    rounds: int = 3
    longest_px: int = 720
    step_px: int = 2
    least_alike: float = 0.5
    least_pairs: int = 400
    most_px: float = 0.5
    spread_px: float = 0.5
    dense: DenseOptions = DenseOptions(least_cosine=0.25, back_px=1.0)


DEFAULTS = PlaceOptions()


@record
class Placed:
    """A picture's camera; pairs: how many places of skin it shares with others, residual_px: their median."""

    camera: Camera
    pairs: int
    residual_px: float


def place(mesh: Mesh, skin: Float[np.ndarray, "v"], cameras: Sequence[Camera | None], times_s: Float[np.ndarray, "n"],
          pictures: Callable[[int], Picture], rasterize: Rasterize, options: PlaceOptions = DEFAULTS,
          progress: Progress = silent) -> dict[int, Placed]:
    """Cameras of the pictures that have none, by their number; those that could not be placed are left out."""
    known = {k: camera for k, camera in enumerate(cameras) if camera is not None}
    lost = [k for k, camera in enumerate(cameras) if camera is None]
    references: dict[int, Reference] = {}
    found: dict[int, Placed] = {}

    def seen_from(k: int) -> Reference:
        if k not in references:
            camera, picture = smaller(known[k], pictures(k), options.longest_px)
            everywhere = np.ones(picture.shape[:2], np.uint8)
            references[k] = Reference(mesh, skin, camera, picture, everywhere, rasterize, options.dense)
        return references[k]

    count = len(lost)
    while lost:
        placed = np.array(sorted(known))
        here = min(lost, key=lambda k: float(np.abs(times_s[placed] - times_s[k]).min()))
        lost.remove(here)
        progress((count - len(lost)) / count, f"Placing profiles, {count - len(lost)} of {count}")
        for guess in guesses(here, placed, known, times_s):
            beside_it = [seen_from(k) for k in beside(guess, known, options)]
            if (sure := placed_from(guess, mesh, skin, beside_it, pictures(here), rasterize, options)) is not None:
                known[here], found[here] = sure.camera, sure
                break
    return found


def guesses(here: int, placed: np.ndarray, known: dict[int, Camera], times_s: Float[np.ndarray, "n"]) -> list[Camera]:
    """Where a picture may have been taken from: where the nearest one was, and going on as the two nearest ones did."""
    order = placed[np.argsort(np.abs(times_s[placed] - times_s[here]))]
    first = known[int(order[0])]
    side = np.sign(times_s[here] - times_s[order[0]])
    before = [k for k in order[1:] if (times_s[order[0]] - times_s[k]) * side > 0]
    if not before:
        return [first]
    last = known[int(before[0])]
    share = (times_s[here] - times_s[order[0]]) / (times_s[order[0]] - times_s[before[0]])
    a, b = last.cam_from_head, first.cam_from_head
    turn = rotation_from_vector(share * Rotation.from_matrix(b[:3, :3] @ a[:3, :3].T).as_rotvec())
    gone = rigid(turn @ b[:3, :3], b[:3, 3] + share * (b[:3, 3] - a[:3, 3]))
    return [with_pose(first, gone), first]


def smaller(camera: Camera, picture: Picture, longest_px: int) -> tuple[Camera, Picture]:
    """Both at the size at which pictures are compared."""
    share = min(1.0, longest_px / max(camera.size_wh))
    size = (round(share * camera.size_wh[0]), round(share * camera.size_wh[1]))
    return camera.resized(size), cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def with_pose(camera: Camera, cam_from_head: Float[np.ndarray, "4 4"]) -> Camera:
    """The same lens elsewhere."""
    return Camera(K_px=camera.K_px, cam_from_head=cam_from_head, size_wh=camera.size_wh, distortion=camera.distortion)


def beside(guess: Camera, known: dict[int, Camera], options: PlaceOptions) -> list[int]:
    """Placed pictures that look from about the same side, the nearest first."""
    def towards(camera: Camera) -> Float[np.ndarray, "3"]:
        return camera.position_mm / np.linalg.norm(camera.position_mm)

    apart = {k: float(np.arccos(np.clip(towards(camera) @ towards(guess), -1, 1))) for k, camera in known.items()}
    near = sorted((k for k in apart if apart[k] < options.apart_rad), key=lambda k: apart[k])
    return near[:options.references]


def placed_from(guess: Camera, mesh: Mesh, skin: Float[np.ndarray, "v"], references: Sequence[Reference],
                picture: Picture, rasterize: Rasterize, options: PlaceOptions) -> Placed | None:
    """The picture's camera, beginning at a guess; None when it is not sure."""
    engine = flow_engine()
    camera, picture = smaller(guess, picture, options.longest_px)
    for _ in range(options.rounds):
        there = Companion(mesh, skin, camera, picture, np.ones(picture.shape[:2], np.uint8), rasterize)
        pairs = [pairs_of(here, there, engine, options) for here in references]
        points, px = (np.concatenate([p[k] for p in pairs] or [np.zeros((0, 3 - k))]) for k in (0, 1))
        if len(points) < options.least_pairs:
            return None
        camera = with_pose(camera, resected(points, px, there.camera, options))
    residual = np.linalg.norm(with_pose(there.camera, camera.cam_from_head).px_from_points(points) - px, axis=1)
    if (median := float(np.median(residual))) > options.most_px:
        return None
    return Placed(camera=with_pose(guess, camera.cam_from_head), pairs=len(points),
                  residual_px=median * guess.size_wh[0] / camera.size_wh[0])


def pairs_of(here: Reference, there: Companion, engine: cv2.DISOpticalFlow, options: PlaceOptions) -> tuple[
        Float[np.ndarray, "p 3"], Float[np.ndarray, "p 2"]]:
    """Places on the head that both pictures show, and the pixels at which the second one shows them."""
    px, depth = there.project(here.place)
    both = here.usable & there.shows(px, depth, options.dense)
    if both.sum() < options.least_pairs * options.step_px**2:
        return np.zeros((0, 3)), np.zeros((0, 2))
    a, b = evened(here.grey, both), evened(cv2.remap(there.grey, px, None, cv2.INTER_CUBIC), both)
    forth, back = engine.calc(a, b, None), engine.calc(b, a, None)
    rows, columns = np.indices(both.shape, np.float32)
    met = np.dstack([columns + forth[..., 0], rows + forth[..., 1]])
    returned = np.linalg.norm(cv2.remap(back, met, None, cv2.INTER_LINEAR) + forth, axis=2)
    inside = cv2.erode(both.astype(np.uint8), np.ones((EDGE_PX, EDGE_PX), np.uint8), borderValue=0)
    landed = cv2.remap(both.astype(np.uint8), met, None, cv2.INTER_NEAREST)
    good = (inside > 0) & (landed > 0) & (returned < options.dense.back_px)
    good[np.arange(len(good)) % options.step_px > 0] = False
    good[:, np.arange(good.shape[1]) % options.step_px > 0] = False
    shown, meant = cv2.remap(b, met, None, cv2.INTER_LINEAR)[good].astype(float), a[good].astype(float)
    shown, meant = shown - shown.mean(), meant - meant.mean()
    if not shown @ meant > options.least_alike * np.linalg.norm(shown) * np.linalg.norm(meant):
        return np.zeros((0, 3)), np.zeros((0, 2))
    return here.place[good].astype(float), cv2.remap(px, met, None, cv2.INTER_LINEAR)[good].astype(float)


def resected(points: Float[np.ndarray, "p 3"], px: Float[np.ndarray, "p 2"], start: Camera, options: PlaceOptions,
             ) -> Float[np.ndarray, "4 4"]:
    """The pose in which the points fall on their pixels: Gauss-Newton from a start near by, Cauchy weights."""
    pose, focal = start.cam_from_head, start.K_px[0, 0]
    for _ in range(10):
        cam = points @ pose[:3, :3].T + pose[:3, 3]
        r = focal * cam[:, :2] / cam[:, 2:] + start.K_px[:2, 2] - px
        w = 1 / (1 + (r**2).sum(1) / options.spread_px**2)
        to_cam = np.zeros((len(cam), 2, 3))
        to_cam[:, 0, 0] = to_cam[:, 1, 1] = focal / cam[:, 2]
        to_cam[:, :, 2] = -focal * cam[:, :2] / cam[:, 2:] ** 2
        turned = np.stack([np.cross(axis, cam - pose[:3, 3]) for axis in np.eye(3)], 2)
        J = np.concatenate([to_cam @ turned, to_cam], 2).reshape(-1, 6)
        weight = np.repeat(w, 2)
        step = -np.linalg.solve(J.T @ (J * weight[:, None]), J.T @ (weight * r.ravel()))
        pose = rigid(rotation_from_vector(step[:3]) @ pose[:3, :3], pose[:3, 3] + step[3:])
        if np.abs(step[:3]).max() < 1e-5 and np.abs(step[3:]).max() < 1e-3:
            break
    return pose
