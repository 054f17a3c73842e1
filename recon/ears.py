"""Ears: those of a head fitted to one photo, drawn to where the photo shows them end.

A fitted head has the model's mean ears, where its landmarks leave them: 0.3 to 0.7 of their area is pictured ear. The
outline that the photo shows (`recon.ear_outline`) says how high and how wide they stand. Each ear is stretched upright
between its top and its lobe, then along rays from its root, so that its outline lies on the pictured one; along the
line of sight it stays as deep as the model has it. What lies on one line of sight moves alike, and the skin
around the ear follows less and less, so that nothing passes anything.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from core.camera import Camera
from core.ear_frame import EarFrame
from core.fragments import Rasterize
from core.mesh import Mesh
from core.records import record
from recon.ear_outline import ROOT_MM, EarOutline, find_outline, frame_of, silhouette
from recon.one_photo import PhotoHead
from recon.wings import rising

EARS = ("ear_r", "ear_l")
HALF_MM = 15.0
"""Half an ear's height where its rays are laid; its width is 20."""
RAYS_DEG, EVEN_DEG = np.arange(-90.0, 91.0, 2.0), 8.0
"""Rays on which both outlines are compared, and over how many degrees the stretch is evened (1 sd)."""
FRONT_MM, AROUND_MM = (-8.0, 4.0), 20.0
"""Skin before the ear begins to follow and follows wholly; skin beyond the ear's region follows no farther ..."""
STEEPEST = 2.5
"""... than this, or so many times as far as the ear moves up or down: what follows over 1.5 times as far would fold."""
HELIX = 0.6
"""An ear's top is that of its helix, which lies so far out, as a share of its rim: before it the head may rise."""
EVEN_MM = 5.0
"""Over so much of the skin its motion is evened (1 sd)."""
ROUNDS = 4
"""Once the head's ear lies there, another part of it is its outline."""


@record
class EarLimits:
    """What an ear must be to be believed; the rest is hair, a wall, or an ear that one photo does not tell enough of.
    near_deg, far_deg: turn of the head on which it is the ear in front, or behind. height_mm: from top to lobe.
    out_mm: least that it stands out; a slender ear could not move without folding. clear: share of its outline with an
    edge. skin: share of skin within. busy: most sharp edges beside it. shared: area in common with the head's ear,
    drawn to it. hidden: an ear lower than this share of the other one is partly hidden."""

    px_per_mm: float = 1.2
    near_deg: float = 15.0
    far_deg: float = 6.0
    height_mm: tuple[float, float] = (48.0, 80.0)
    out_mm: float = 13.0
    clear: float = 0.8
    skin: float = 0.8
    busy: float = 0.1
    shared: float = 0.8
    hidden: float = 0.8


LIMITS = EarLimits()


@record
class SeenEar:
    """One ear as the photo shows it. shared: area that the head's ear and the pictured one have in common, over that
    of both. doubt: why it is not believed, in a clause; empty where it is."""

    frame: EarFrame
    outline: EarOutline
    shared: float
    doubt: str = ""


def with_ears(head: PhotoHead, camera: Camera, picture: UInt8[np.ndarray, "h w 3"], person: Bool[np.ndarray, "h w"],
              rasterize: Rasterize, limits: EarLimits = LIMITS) -> tuple[PhotoHead, dict[str, SeenEar]]:
    """The head with its ears where the photo shows them, and what was seen of each (`ear_r`, `ear_l`). An ear that is
    not believed stays where it is. camera: the head's, of the part of the photo that is given; person: who is in it.
    """
    frames = {ear: frame_of(head.mesh, head.anatomy, camera, ear) for ear in EARS}
    px = camera.px_from_points(head.mesh.points(head.anatomy.pins478))
    outlines = {ear: find_outline(frames[ear], px, picture, person) for ear in EARS}
    doubts = {ear: doubt_of(ear, frames[ear], outlines[ear], head.angles_deg[0], picture.shape, limits)
              for ear in EARS}
    tallest = max((outlines[ear].height_mm for ear in EARS if not doubts[ear]), default=0.0)
    seen, moved = {}, np.zeros_like(head.mesh.vertices_mm)
    for ear in EARS:
        doubt, shared = doubts[ear], 0.0
        if not doubt and outlines[ear].height_mm < limits.hidden * tallest:
            doubt = "part of it is hidden, by hair perhaps: it is much lower than the other one"
        if not doubt:
            by, shared = drawn_to(head, ear, camera, frames[ear], outlines[ear], rasterize)
            doubt = "" if shared >= limits.shared else "no ear of the head model explains its outline"
            moved += 0 if doubt else by
        seen[ear] = SeenEar(frame=frames[ear], outline=outlines[ear], shared=shared, doubt=doubt)
    return dataclasses.replace(head, mesh=head.mesh.moved(moved)), seen


def doubt_of(ear: str, frame: EarFrame, outline: EarOutline, yaw_deg: float, shape: tuple[int, ...],
             limits: EarLimits) -> str:
    """Why what was found is not taken for this ear, in a clause; empty where it is."""
    behind = (yaw_deg > 0) == (ear == "ear_l")  # a head that turns to the patient's left shows the right side
    if abs(yaw_deg) > (limits.far_deg if behind else limits.near_deg):
        return f"the head is turned by {abs(yaw_deg):.0f}°"
    if frame.px_per_mm < limits.px_per_mm:
        return f"the photo has only {frame.px_per_mm:.1f} pixels to a millimetre there"
    px = frame.px(outline.points_mm)
    if len(px) and ((px < 2) | (px > np.array(shape[1::-1]) - 3)).any():
        return "it reaches the picture's edge"
    low, high = limits.height_mm
    if not low <= outline.height_mm <= high or outline.clear < limits.clear or outline.skin < limits.skin:
        return "hair hides it, or it does not stand out clearly from what is behind it"
    if outline.busy > limits.busy:
        return "loose hair, or what else has sharp edges, lies beside it, and what its rim hides of that is not known"
    if outline.points_mm[:, 0].max() < limits.out_mm:
        return "it hardly stands out from the face here (closer than 60 cm the cheeks hide ears)"
    return ""


def drawn_to(head: PhotoHead, ear: str, camera: Camera, frame: EarFrame, outline: EarOutline, rasterize: Rasterize,
             ) -> tuple[Float[np.ndarray, "v 3"], float]:
    """How every vertex moves so that the head's ear has the pictured outline, and the area that both then share."""
    by = np.zeros_like(head.mesh.vertices_mm)
    for _ in range(ROUNDS):
        mesh = head.mesh.moved(by)
        own = silhouette(frame, rasterize(mesh, camera).covered)
        by = by + followed(mesh, head.anatomy.region(ear), camera, frame, own, outline)
    return by, in_common(silhouette(frame, rasterize(head.mesh.moved(by), camera).covered), outline)


def followed(mesh: Mesh, region: Float[np.ndarray, "v"], camera: Camera, frame: EarFrame, own: EarOutline,
             pictured: EarOutline) -> Float[np.ndarray, "v 3"]:
    """How every vertex moves so that the head's ear ends where the pictured one does."""
    from_, to = Rays.of(own), Rays.of(pictured)
    place = frame.mm(camera.px_from_points(mesh.vertices_mm))
    lower_mm = abs(to.middle_mm - from_.middle_mm) + abs(to.half_mm - from_.half_mm)
    reach_mm = max(AROUND_MM, STEEPEST * lower_mm)
    near = cKDTree(mesh.vertices_mm[region > 0.5]).query(mesh.vertices_mm, distance_upper_bound=reach_mm)[0]
    share = rising((place[:, 0] - FRONT_MM[0]) / (FRONT_MM[1] - FRONT_MM[0])) * rising(
        1 - np.minimum(near, reach_mm) / reach_mm)
    rows = np.flatnonzero(share)
    angle, r = from_.polar(place[rows])
    stretch = np.interp(angle, RAYS_DEG, gaussian_filter1d(to.ends / from_.ends, EVEN_DEG / 2, mode="nearest"))
    moved = np.zeros_like(mesh.vertices_mm)
    by = evenly(mesh.vertices_mm[rows], share[rows, None] * (to.place(angle, r * stretch) - place[rows]))
    axes = np.stack([frame.out, frame.down])
    depth = camera.cam_from_points(mesh.vertices_mm[rows])[:, 2]
    moved[rows, :2] = by @ axes * (depth / frame.depth_mm)[:, None]
    return np.asarray(moved @ camera.cam_from_head[:3, :3])


def evenly(points_mm: Float[np.ndarray, "n 3"], by_mm: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """A motion evened in space: the ear's folds are steep, and neighbours that part would turn them over."""
    weight = np.exp(-cdist(points_mm, points_mm, "sqeuclidean") / (2 * EVEN_MM**2))
    return np.asarray(weight @ by_mm / weight.sum(1, keepdims=True))


@record
class Rays:
    """Rays from the root of an ear whose height is made `HALF_MM` to both sides: where its outline ends on each."""

    middle_mm: float
    half_mm: float
    ends: Float[np.ndarray, "a"]

    @classmethod
    def of(cls, outline: EarOutline) -> "Rays":
        """Those of an outline."""
        x, y = outline.points_mm.T
        top, low = y[x > HELIX * x.max()].min(), y.max()
        bare = cls(middle_mm=float((top + low) / 2), half_mm=float((low - top) / 2), ends=np.zeros(len(RAYS_DEG)))
        angle, r = bare.polar(outline.points_mm)
        order = np.argsort(angle)
        return dataclasses.replace(bare, ends=np.interp(RAYS_DEG, angle[order], r[order]))

    def polar(self, place_mm: Float[np.ndarray, "n 2"]) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
        """Angle (0 outwards, positive downwards) and distance of places in the ear's frame."""
        x, y = place_mm[:, 0] - ROOT_MM[0], (place_mm[:, 1] - self.middle_mm) * HALF_MM / self.half_mm
        return np.degrees(np.arctan2(y, x)), np.hypot(x, y)

    def place(self, angle_deg: Float[np.ndarray, "n"], r: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 2"]:
        """Back."""
        angle = np.radians(angle_deg)
        return np.stack([ROOT_MM[0] + r * np.cos(angle),
                         self.middle_mm + r * np.sin(angle) * self.half_mm / HALF_MM], 1)


def in_common(a: EarOutline, b: EarOutline) -> float:
    """Area that two ears share, over that of both."""
    first, second = (np.zeros((560, 260), np.uint8) for _ in range(2))
    for mask, o in ((first, a), (second, b)):
        if len(o.points_mm):
            ring = np.concatenate([o.points_mm, [[1.0, o.points_mm[-1, 1]], [1.0, o.points_mm[0, 1]]]])
            cv2.fillPoly(mask, [np.rint((ring + [16, 60]) * 4).astype(int)], 1)
    return float((first & second).sum() / max((first | second).sum(), 1))
