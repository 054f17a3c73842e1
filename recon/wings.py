"""Wings: the nose's wings of a head fitted to one photo, drawn to where the photo shows them end.

The 478 landmarks hardly know how wide a nose is: over 16 people their wings vary by 0.5 mm where the marked ones vary
by 1.5 mm. And the model's pins come from rendered heads, on which the detector sees wider wings than the model has: a
head fitted to a photo ends its wings 1.5 mm (sd 1.3) inside the pictured ones (benchmarks/wings.md).

From the front each wing's edge is sought in the photo, along rays from the wing's front: a dark groove, and beyond it
a cheek that is bright at once or, where a smile folds it or the light comes from one side, only after some
millimetres: taken for a narrow groove, such a shadow's middle would pass for the edge. Both sides are asked together,
for faces are nearly symmetric. Where the photo does not tell (a turned head, few pixels, two answers), the wing ends
where wings usually do beside these landmarks.
Letters: angle of a ray, 0 outwards, positive downwards; r distance from the wing's front, mm; d = r - expected - usual.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from core.rays import cheapest
from core.records import record

CHAINS = ((49, 129, 64, 98), (279, 358, 294, 327))
"""Landmarks along the right and the left wing's edge, from above to below."""
CENTRES, CREASES = ((220, 115), (440, 344)), (129, 358)
"""Landmarks on the wings' fronts, from which rays meet the edge squarely, smiling or not; and at their backs."""
ANGLES_DEG = np.arange(-40.0, 45.0, 4.0)
STEP_MM = 0.15
FRONT_MM = 600.0
"""A turned head is looked at from its own front, from here."""
FINE_PX = 4.0
"""Pixels per mm in which the fitted wing's end is looked for."""


@record
class WingOptions:
    """usual_mm: where wings end beyond the landmarks' chain, with its spread (1 sd) and, apart_mm, that between both
    sides: of 16 people 1.4 and 1.0; a smile spreads more. d_mm: where edges are sought. weight: of an edge that looks
    as edges do (a correlation of 1), over all rays; ray: on each of them, where near_mm is how far it may leave its
    side, and bend how little it may part from the next (1/mm2). sure_mm: a wider spread of what the photo says is not
    followed, nor is a correlation below clear. lights: how an edge may look: darkness of the wing beside its groove, as
    a share of the groove's, and over what (1 sd, mm) the cheek grows bright beyond: half-lit or lit beside a lit cheek,
    or brighter than a shaded one. faint: contrast (of the logarithm) that noise makes. yaw_deg, px_per_mm: beyond and
    below it, edges are not sought. limit_mm: a wing moves no farther in and out. reach_mm: over which the cheek
    follows."""

    usual_mm: float = -1.45
    spread_mm: float = 2.0
    apart_mm: float = 1.2
    d_mm: tuple[float, float] = (-3.0, 6.0)
    weight: float = 12.0
    ray: float = 12.0
    near_mm: float = 0.8
    bend: float = 3.0
    sure_mm: float = 1.2
    clear: float = 0.1
    lights: tuple[tuple[float, float], ...] = ((0.5, 0.85), (0.0, 0.85), (-0.2, 3.5))
    faint: float = 0.06
    yaw_deg: float = 15.0
    px_per_mm: float = 1.0
    limit_mm: tuple[float, float] = (-2.0, 6.0)
    reach_mm: float = 10.0


WINGS = WingOptions()


@record
class Wing:
    """One wing as a camera sees it: rays start at centre_px, along out and down (unit vectors); expected_mm (A,): where
    its edge is expected on each; depth_mm of its edge."""

    centre_px: Float[np.ndarray, "2"]
    out: Float[np.ndarray, "2"]
    down: Float[np.ndarray, "2"]
    px_per_mm: float
    expected_mm: Float[np.ndarray, "a"]
    depth_mm: float

    def at(self, r_mm: Float[np.ndarray, "a r"]) -> Float[np.ndarray, "a r 2"]:
        """Pixels so far along the rays."""
        angle = np.radians(ANGLES_DEG)[:, None]
        along = np.cos(angle) * self.out + np.sin(angle) * self.down
        return np.asarray(self.centre_px + r_mm[..., None] * self.px_per_mm * along[:, None])

    def polar(self, points_px: Float[np.ndarray, "n 2"]) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
        """Angle in degrees and distance in mm of pixels."""
        apart = (points_px - self.centre_px) / self.px_per_mm
        return np.degrees(np.arctan2(apart @ self.down, apart @ self.out)), np.linalg.norm(apart, axis=1)


def with_wings(mesh: Mesh, anatomy: Anatomy, camera: Camera, picture: UInt8[np.ndarray, "h w 3"], rasterize: Rasterize,
               options: WingOptions = WINGS) -> Mesh:
    """The head with its wings as wide as the photo has them, or as is usual."""
    yaw = abs(np.degrees(camera.head_angles_rad[0]))
    frontal = yaw <= options.yaw_deg
    seen_by = camera if frontal else from_front()
    both = [wing_of(mesh, anatomy, seen_by, side) for side in (0, 1)]
    off = [np.zeros(len(ANGLES_DEG)) for _ in both]
    if frontal and both[0].px_per_mm >= options.px_per_mm:
        off = edges(picture, both, options)
    moved = np.zeros_like(mesh.vertices_mm)
    for wing, d in zip(both, off, strict=True):
        ends = fitted_end(mesh, seen_by, wing, rasterize)
        wider = np.clip(wing.expected_mm + options.usual_mm + d - ends, *options.limit_mm)
        moved += followed(mesh, seen_by, wing, ends, wider, options)
    return mesh.moved(moved)


def from_front() -> Camera:
    """A camera straight before any head, a millimetre a pixel."""
    pose = np.diag([1.0, -1, -1, 1])
    pose[2, 3] = FRONT_MM
    return Camera(K_px=np.array([[FRONT_MM, 0, 0], [0, FRONT_MM, 0], [0, 0, 1.0]]), cam_from_head=pose, size_wh=(1, 1))


def wing_of(mesh: Mesh, anatomy: Anatomy, camera: Camera, side: int) -> Wing:
    """The right (0) or the left wing by the head's own landmarks."""
    points = mesh.points(anatomy.pins478)
    px, chain = camera.px_from_points(points), list(CHAINS[side])
    across = px[CREASES[1]] - px[CREASES[0]]
    across /= np.linalg.norm(across)
    depth = float(camera.cam_from_points(points[chain])[:, 2].mean())
    wing = Wing(centre_px=px[list(CENTRES[side])].mean(0), out=across if side else -across,
                down=np.array([-across[1], across[0]]), px_per_mm=float(camera.K_px[0, 0] / depth),
                expected_mm=np.zeros(len(ANGLES_DEG)), depth_mm=depth)
    angle, r = wing.polar(px[chain])
    order = np.argsort(angle)
    return Wing(centre_px=wing.centre_px, out=wing.out, down=wing.down, px_per_mm=wing.px_per_mm, depth_mm=depth,
                expected_mm=np.interp(ANGLES_DEG, angle[order], r[order]))


def fitted_end(mesh: Mesh, camera: Camera, wing: Wing, rasterize: Rasterize) -> Float[np.ndarray, "a"]:
    """Where the fitted wing ends on each ray, mm: the foot of the steepest fall in depth near the landmarks."""
    from_mm, to_mm = -5.0, 3.0
    r = wing.expected_mm[:, None] + np.arange(from_mm, to_mm, STEP_MM)
    px = wing.at(r)
    low = np.floor(px.min((0, 1))) - 1
    zoom = FINE_PX / wing.px_per_mm
    K = camera.K_px.copy()
    K[:2, 2] -= low
    K[:2] *= zoom
    size = np.ceil((px.max((0, 1)) + 2 - low) * zoom).astype(int)
    window = Camera(K_px=K, cam_from_head=camera.cam_from_head, size_wh=(int(size[0]), int(size[1])))
    depth = np.minimum(rasterize(mesh, window).depth_mm, np.float32(wing.depth_mm + 60))
    along = cv2.remap(depth, ((px - low) * zoom).astype(np.float32), None, cv2.INTER_LINEAR,
                      borderMode=cv2.BORDER_REPLICATE)
    steep = np.gradient(cv2.GaussianBlur(along, (0, 0), 1.5), STEP_MM, axis=1)
    top = steep.argmax(1)
    after = np.arange(r.shape[1]) >= top[:, None]
    foot = (after & (steep < 0.5 * steep.max(1)[:, None])).argmax(1)
    ends = r[np.arange(len(r)), np.where(foot > 0, foot, top)]
    off = ends - wing.expected_mm  # a ray that meets the nostril's rim instead of the wing stands out
    padded = np.pad(off, 3, "edge")
    return wing.expected_mm + np.median(np.lib.stride_tricks.sliding_window_view(padded, 7), axis=1)


def edges(picture: UInt8[np.ndarray, "h w 3"], wings: Sequence[Wing], options: WingOptions = WINGS) -> list[
        Float[np.ndarray, "a"]]:
    """d of both wings' edges on every ray; zero on both sides where the photo does not tell."""
    d = np.arange(options.d_mm[0], options.d_mm[1] + STEP_MM / 2, STEP_MM)
    alike = [likeness(picture, wing, d, options) for wing in wings]
    costs = [d**2 / (2 * options.spread_mm**2) - options.weight * a.mean(0) for a in alike]
    together = costs[0][:, None] + costs[1] + (d[:, None] - d) ** 2 / (2 * options.apart_mm**2)
    chance = np.exp(together.min() - together)
    chance /= chance.sum()
    found = []
    for axis, one in zip((1, 0), alike, strict=True):
        share = chance.sum(axis)
        mean = float(share @ d)
        alike_there = np.interp(mean, d, one.mean(0))
        if np.sqrt(share @ (d - mean) ** 2) > options.sure_mm or alike_there < options.clear:
            return [np.zeros(len(ANGLES_DEG)) for _ in wings]
        found.append(d[path((d - mean) ** 2 / (2 * options.near_mm**2) - options.ray * one, d, options.bend)])
    return found


GROOVE_MM, SOFT_MM, BESIDE_MM = 0.85, 0.2, (-2.0, 4.0)
"""Half the groove's width towards the wing (sd of a Gaussian); the picture is smoothed by the second, and compared over
the third."""


def likeness(picture: UInt8[np.ndarray, "h w 3"], wing: Wing, d_mm: Float[np.ndarray, "m"],
             options: WingOptions) -> Float[np.ndarray, "a m"]:
    """How much the brightness along each ray looks like a wing's edge at each d: the correlation of its logarithm with
    a groove between a wing and a cheek, in the light that suits it best."""
    beside = np.arange(round(BESIDE_MM[0] / STEP_MM), round(BESIDE_MM[1] / STEP_MM) + 1)
    steps = np.arange(round(d_mm[0] / STEP_MM) + beside[0], round(d_mm[-1] / STEP_MM) + beside[-1] + 1)
    px = wing.at(wing.expected_mm[:, None] + options.usual_mm + steps * STEP_MM)
    room = 4
    low = np.clip(np.floor(px.min((0, 1))) - room, 0, np.array(picture.shape[1::-1]) - 1).astype(int)
    high = np.clip(np.ceil(px.max((0, 1))) + room, low + 1, picture.shape[1::-1]).astype(int)
    part = np.ascontiguousarray(picture[low[1]:high[1], low[0]:high[0]])
    grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), max(SOFT_MM * wing.px_per_mm, 0.5))
    seen = np.log(np.maximum(cv2.remap(grey, (px - low).astype(np.float32), None, cv2.INTER_LINEAR,
                                       borderMode=cv2.BORDER_REPLICATE), 4))
    around = np.lib.stride_tricks.sliding_window_view(seen, len(beside), axis=1)
    around = around - around.mean(2, keepdims=True)
    size = np.linalg.norm(around, axis=2) + options.faint * np.sqrt(len(beside))
    return np.asarray(np.max([around @ groove(beside * STEP_MM, *light) / size for light in options.lights], axis=0))


def groove(x_mm: Float[np.ndarray, "n"], inside: float, shade_mm: float) -> Float[np.ndarray, "n"]:
    """Brightness across a wing's edge: mean zero, length one. inside: how dark the wing is (1: as the groove, 0: as a
    lit cheek); shade_mm: over what the cheek grows bright."""
    off = x_mm - SOFT_MM
    bell = np.exp(-off**2 / (2 * np.where(off > 0, shade_mm, GROOVE_MM) ** 2))
    dark = np.where(off > 0, bell, inside + (1 - inside) * bell)
    level = dark.mean() - dark
    return np.asarray(level / np.linalg.norm(level))


def path(cost: Float[np.ndarray, "a m"], d_mm: Float[np.ndarray, "m"], bend: float) -> Int[np.ndarray, "a"]:
    """The cheapest choice on every ray where the same places are asked on all of them (`core.rays`)."""
    return np.asarray(cheapest(cost, np.tile(d_mm, (len(cost), 1)), bend, len(d_mm))[0])


INNER, FADE_DEG, BEHIND_MM = 0.2, 40.0, (20.0, 40.0)
"""The skin within this share of the wing's distance stays, as does what lies so far (degrees) beside its rays, or so
much deeper than its edge (from the first on less, from the second on not at all)."""


def followed(mesh: Mesh, camera: Camera, wing: Wing, ends_mm: Float[np.ndarray, "a"], wider_mm: Float[np.ndarray, "a"],
             options: WingOptions) -> Float[np.ndarray, "v 3"]:
    """How every vertex moves so that the wing ends so much wider: along the rays, across the line of sight, and all
    that lies on one line of sight alike, so that nothing passes anything."""
    cam = camera.cam_from_points(mesh.vertices_mm)
    moved = np.zeros_like(cam)
    near = np.flatnonzero((cam[:, 2] > 1) & (cam[:, 2] < wing.depth_mm + BEHIND_MM[1]))
    angle, r = wing.polar(camera.px_from_points(mesh.vertices_mm[near]))
    farthest = ends_mm.max() + np.maximum(options.reach_mm, 2.5 * np.abs(wider_mm).max())
    some = (r < farthest) & (angle > ANGLES_DEG[0] - FADE_DEG) & (angle < ANGLES_DEG[-1] + FADE_DEG)
    near, angle, r = near[some], angle[some], r[some]
    end, by = (np.interp(angle, ANGLES_DEG, v) for v in (ends_mm, wider_mm))
    reach = np.maximum(options.reach_mm, 2.5 * np.abs(by))
    share = np.where(r < end, rising((r / np.maximum(end, 1) - INNER) / (1 - INNER)), rising(1 - (r - end) / reach))
    beside = np.maximum(ANGLES_DEG[0] - angle, angle - ANGLES_DEG[-1])
    behind = (cam[near, 2] - wing.depth_mm - BEHIND_MM[0]) / (BEHIND_MM[1] - BEHIND_MM[0])
    by = by * share * rising(1 - beside / FADE_DEG) * rising(1 - behind)
    turned = np.radians(angle)
    along = np.cos(turned)[:, None] * wing.out + np.sin(turned)[:, None] * wing.down
    moved[near, :2] = by[:, None] * along * (cam[near, 2] / wing.depth_mm)[:, None]
    return np.asarray(moved @ camera.cam_from_head[:3, :3])


def rising(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """From 0 at 0 to 1 at 1, smoothly, and level beyond."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
