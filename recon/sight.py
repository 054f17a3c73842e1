"""Sight: what one picture can say about the skin: colours, and how far each pixel is trusted.

A pixel is trusted by the angle it sees the skin at, its distance to every edge of the surface (there the head and the
person part by a few millimetres), and whether its colour is the person's or the background's. Lengths are mm on the
skin, turned to pixels by the focal length over the depth.
"""

import dataclasses
import functools

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import gaussian_filter

from core.anatomy import Anatomy
from core.camera import Camera, distort
from core.channels import sum_of
from core.fragments import Fragments, Rasterize
from core.mesh import Mesh
from core.records import record
from recon.compiled import compiled

LEAST_PERSON = 0.3
"""Share of the head's silhouette that the person's mask must cover to be believed."""
EDGE_STEP_MM = 4.0
"""A step in depth between neighbouring pixels that is an edge and not a slope."""
SURE_MM = 10.0
"""This deep inside the silhouette a pixel is the person's, whatever its colour; as far outside it is not."""
LID_MM = 0.6
"""Width over which trust grows between the eye and its lids."""
CUBIC_PX = 1.0
"""Pixels of the picture beside an edge that sampling may mix with what lies beyond."""
PALE = 0.035
"""Lack of red, as a share of all three channels, by which a pixel of the throat or an ear is not skin."""
FRONTAL = 0.6
"""Skin that faces the camera by this cosine tells the person's colour."""
BINS = 16
"""Colours are counted in this many bins a channel."""


@record
class SightOptions:
    """border_mm: width over which trust grows from an edge inwards. ear_mm: the same beside an ear, whose shape is the
    model's more than the person's. least_cosine: steeper views are not used. power: how sharply head-on views win.
    broad_mm, fine_mm: colours coarser than the first are averaged over views, finer than the second come from one.
    px_per_mm: trust and broad colours are worked out in pictures of at most this resolution."""

    border_mm: float = 5.0
    ear_mm: float = 12.0
    least_cosine: float = 0.2
    power: float = 4.0
    broad_mm: float = 8.0
    fine_mm: float = 2.0
    px_per_mm: float = 2.5


@record
class Zones:
    """Weights (V,) of surfaces that are treated apart; zeros without an anatomy."""

    eyes: tuple[Float[np.ndarray, "v"], ...]
    ears: tuple[Float[np.ndarray, "v"], ...]
    lining: Float[np.ndarray, "v"]
    dark: Float[np.ndarray, "v"]
    """The lining of the mouth alone: between lids and eyeball there is no cave."""
    bare: Float[np.ndarray, "v"]
    """Skin without hair, brows, lips or eyes; face, ears and neck."""
    throat: Float[np.ndarray, "v"]
    """Bare skin of the neck, where collars are."""
    scalp: Float[np.ndarray, "v"]


@record
class Sight:
    """picture (H,W,3). In a part of the smaller picture of `small`, from corner_px (x, y) on: weight (h,w), the same
    with a wider border, wide (h,w); withheld (h,w), the weight that skin of the face lost only because an ear is near;
    blurred colours low and mid (h,w,3) sRGB; depth_mm (h,w), 0 off the surface."""

    camera: Camera
    small: Camera
    corner_px: tuple[float, float]
    picture: UInt8[np.ndarray, "H W 3"]
    weight: Float[np.ndarray, "h w"]
    wide: Float[np.ndarray, "h w"]
    withheld: Float[np.ndarray, "h w"]
    low: Float[np.ndarray, "h w 3"]
    mid: Float[np.ndarray, "h w 3"]
    depth_mm: Float[np.ndarray, "h w"]


def zones(mesh: Mesh, anatomy: Anatomy | None) -> Zones:
    """The zones of an anatomy."""
    if anatomy is None:
        none = np.zeros(len(mesh.vertices_mm))
        return Zones(eyes=(), ears=(), lining=none, dark=none, bare=none, throat=none, scalp=none)
    zone = of_anatomy(anatomy)
    dark = zone.lining.copy()
    for eye in zone.eyes:
        if (eye > 0.5).any():
            middle, size = mesh.vertices_mm[eye > 0.5].mean(0), np.ptp(mesh.vertices_mm[eye > 0.5], axis=0).max()
            dark[np.linalg.norm(mesh.vertices_mm - middle, axis=1) < size] = 0
    return dataclasses.replace(zone, dark=dark)


@functools.lru_cache(maxsize=2)
def of_anatomy(anatomy: Anatomy) -> Zones:
    """Those that hold for every head of a topology; the lining between lid and eyeball still counts as dark."""
    none = np.zeros(anatomy.region_weights.shape[1])

    def part(*names: str) -> Float[np.ndarray, "v"]:
        return np.maximum.reduce([none, *(anatomy.region(n).astype(float) for n in names if n in anatomy.region_names)])

    marked, lining = part("scalp", "lips", "eye_l", "eye_r", "brow_l", "brow_r", "mouth_interior"), part(
        "mouth_interior")
    return Zones(eyes=(part("eye_l"), part("eye_r")), ears=(part("ear_l"), part("ear_r")), lining=lining, dark=lining,
                 bare=1 - marked, throat=np.clip(1 - marked - part("face", "ear_l", "ear_r"), 0, 1),
                 scalp=np.clip(part("scalp") - part("ear_l", "ear_r"), 0, 1))


def look(mesh: Mesh, normals: Float[np.ndarray, "v 3"], zone: Zones, camera: Camera,
         picture: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"], rasterize: Rasterize,
         options: SightOptions) -> Sight:
    """One view's colours and trust. mask: the person, coarsely."""
    px_per_mm = camera.K_px[0, 0] / np.linalg.norm(camera.position_mm)
    share = min(1.0, options.px_per_mm / px_per_mm)
    size = (round(camera.size_wh[0] * share), round(camera.size_wh[1] * share))
    small = camera.resized(size)
    scale = px_per_mm * size[0] / camera.size_wh[0]
    seen = rasterize(mesh, small)
    rows, columns = around(seen.covered, 2.5 * SURE_MM * scale)
    seen = Fragments(face=seen.face[rows, columns], bary=seen.bary[rows, columns],
                     depth_mm=seen.depth_mm[rows, columns])
    colour = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if share < 1 else picture
    colour = np.ascontiguousarray(colour[rows, columns])
    person = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)[rows, columns] > 0
    none = np.zeros(len(normals))
    parts = np.column_stack([sum(zone.eyes, none), sum(zone.ears, none), zone.lining, zone.bare, zone.throat])
    cosine, kind = np.zeros(seen.face.shape, np.float32), np.zeros(seen.face.shape, np.uint8)
    write_facing(seen.face, seen.bary, mesh.faces, normals.astype(np.float32), parts.astype(np.float32), small.K_px,
                 small.cam_from_head[:3, :3], rows.start, columns.start, cosine, kind)
    eye, ear, lining, bare, throat = (kind & np.uint8(1 << k) > 0 for k in range(5))
    mine = whose(colour, seen.covered, person, scale)
    mine &= ~((ear | throat) & pale(colour, mine & bare & (cosine > FRONTAL), scale))
    edge = edges(seen, mine, lining)
    inner, lid = depth_inside(~edge), depth_inside(~boundary(eye))
    from_ear = cv2.distanceTransform((~ear).astype(np.uint8), cv2.DIST_L2, 5)
    trust = np.zeros((3, *mine.shape), np.float32)
    write_trust(cosine, mine, eye, from_ear, bare & ~throat, inner, lid, scale, CUBIC_PX * share, options.least_cosine,
                options.power, options.border_mm, options.ear_mm, trust)
    trust *= px_per_mm**2
    low, mid = masked_blurs(colour, mine & ~edge, (options.broad_mm * scale, options.fine_mm * scale))
    return Sight(camera=camera, small=small, corner_px=(float(columns.start), float(rows.start)), picture=picture,
                 depth_mm=np.where(np.isfinite(seen.depth_mm), seen.depth_mm, 0).astype(np.float32), low=low, mid=mid,
                 weight=trust[0], wide=trust[1], withheld=trust[2])


def around(mask: Bool[np.ndarray, "h w"], margin_px: float) -> tuple[slice, slice]:
    """Rows and columns of a mask with a margin; one pixel at least."""
    margin = int(np.ceil(margin_px))
    out = []
    for axis, count in ((1, mask.shape[0]), (0, mask.shape[1])):
        used = np.flatnonzero(mask.any(axis))
        low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        out.append(slice(max(low - margin, 0), min(high + margin, count)))
    return out[0], out[1]


def edges(seen: Fragments, mine: Bool[np.ndarray, "h w"], lining: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels off the surface or the person, and both sides of every step in depth; not a step into a lining.

    Lips that meet in the picture may leave a gap on the head: what is seen in it belongs to the lips.
    """
    depth = np.where(np.isfinite(seen.depth_mm), seen.depth_mm, 1e5).astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    step = cv2.dilate(depth, kernel) - cv2.erode(depth, kernel) > 2 * EDGE_STEP_MM
    return (step & (cv2.dilate(lining.astype(np.uint8), kernel) == 0)) | ~mine


def boundary(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels on both sides of a mask's outline."""
    byte, kernel = mask.astype(np.uint8), np.ones((3, 3), np.uint8)
    return cv2.dilate(byte, kernel) != cv2.erode(byte, kernel)


def depth_inside(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Distance (px) of every pixel to the nearest one off the mask or beyond the picture."""
    framed = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1]


@compiled
def smooth_step(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """0 below 0.3, 1 from 1 on, smooth between: the outermost pixels count nothing."""
    t = min(max((x - 0.3) / 0.7, 0.0), 1.0)
    return t * t * (3 - 2 * t)


@compiled
def write_trust(  # type: ignore[no-untyped-def]  # noqa: ANN201
        cosine, mine, eye, from_ear, face, inner, lid, scale, cubic_px, least, power, border_mm, ear_mm, out):  # noqa: ANN001
    """Write weight, wide and withheld (3,H,W) of `Sight`, before the resolution. inner, lid, from_ear: how far (px) a
    pixel is from every edge, from the lids, and from an ear; an eye itself is seen up to the lid."""
    for y in range(mine.shape[0]):
        for x in range(mine.shape[1]):
            if not mine[y, x]:
                continue
            near, facing = inner[y, x], cosine[y, x]
            if eye[y, x]:
                out[0, y, x] = out[1, y, x] = min(max(facing, 0.0), 1.0) * smooth_step(near / (LID_MM * scale))
                continue
            facing = min(max((facing - least) / (1 - least), 0.0), 1.0)**power
            facing *= smooth_step(lid[y, x] / (LID_MM * scale))
            beside = smooth_step(from_ear[y, x] / (ear_mm * scale)) if from_ear[y, x] > 0 else 1.0
            skin = facing * smooth_step((near - cubic_px) / (border_mm * scale))
            out[0, y, x] = skin * beside
            out[1, y, x] = facing * smooth_step((near - cubic_px) / (3 * border_mm * scale)) * beside
            if face[y, x]:
                out[2, y, x] = skin * (1 - beside)


@compiled
def write_facing(  # type: ignore[no-untyped-def]  # noqa: ANN201
        face, bary, faces, normals, parts, K, turn, row, column, cosine, kind):  # noqa: ANN001
    """Write the cosine (H,W) by which the skin faces the camera, and a bit for each of the parts (V,P) that it belongs
    to; the first pixel is (row, column). The lens's distortion is left out, a degree at most."""
    for y in range(face.shape[0]):
        for x in range(face.shape[1]):
            if face[y, x] < 0:
                continue
            a, b, c = faces[face[y, x]]
            p, q, r = bary[y, x]
            right, down = (column + x - K[0, 2]) / K[0, 0], (row + y - K[1, 2]) / K[1, 1]
            total = 0.0
            for k in range(3):
                total -= (p * normals[a, k] + q * normals[b, k] + r * normals[c, k]) * (
                    right * turn[0, k] + down * turn[1, k] + turn[2, k])
            cosine[y, x] = total / np.sqrt(right * right + down * down + 1)
            for k in range(parts.shape[1]):
                if p * parts[a, k] + q * parts[b, k] + r * parts[c, k] > 0.5:
                    kind[y, x] |= 1 << k


def whose(colour: UInt8[np.ndarray, "h w 3"], covered: Bool[np.ndarray, "h w"], person: Bool[np.ndarray, "h w"],
          scale: float) -> Bool[np.ndarray, "h w"]:
    """The surface's pixels that show the person: by the mask, then by colour near the silhouette.

    Colours of sure person and sure background are counted; the nearer to the silhouette, the more they decide.
    """
    if (covered & person).sum() < LEAST_PERSON * covered.sum():  # the network did not recognise the head at all
        return covered
    inner = depth_inside(covered & person) / (SURE_MM * scale)
    outer = depth_inside(~(covered | person)) / (SURE_MM * scale)
    ours, theirs = np.zeros((BINS,) * 3, np.float32), np.zeros((BINS,) * 3, np.float32)
    count_sure(colour, inner, outer, ours, theirs)
    if min(ours.sum(), theirs.sum()) == 0:
        return covered & person
    ours, theirs = (smooth / smooth.sum() for smooth in (gaussian_filter(c, 0.7) for c in (ours, theirs)))
    belief = np.empty(inner.shape, np.float32)
    write_belief(colour, inner, ours, theirs, belief)
    return covered & person & (cv2.GaussianBlur(belief, (0, 0), max(0.8 * scale, 0.5)) > 0.5)


@compiled
def count_sure(colour, inner, outer, ours, theirs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Count the colours of sure person and of sure background in bins."""
    for y in range(inner.shape[0]):
        for x in range(inner.shape[1]):
            red, green, blue = colour[y, x, 0] >> 4, colour[y, x, 1] >> 4, colour[y, x, 2] >> 4
            if inner[y, x] > 1:
                ours[red, green, blue] += 1
            elif outer[y, x] > 1:
                theirs[red, green, blue] += 1


@compiled
def write_belief(colour, inner, ours, theirs, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write how far a pixel's place and colour are the person's, by the shares of either's colours."""
    for y in range(inner.shape[0]):
        for x in range(inner.shape[1]):
            if inner[y, x] >= 1:
                out[y, x] = 1
                continue
            red, green, blue = colour[y, x, 0] >> 4, colour[y, x, 1] >> 4, colour[y, x, 2] >> 4
            before = inner[y, x] * 0.5 + 0.5
            own, other = ours[red, green, blue] * before, theirs[red, green, blue] * (1 - before)
            out[y, x] = own / max(own + other, 1e-12) if own + other > 0 else before


def pale(colour: UInt8[np.ndarray, "h w 3"], skin: Bool[np.ndarray, "h w"], scale: float) -> Bool[np.ndarray, "h w"]:
    """Pixels with less red than the person's skin: a collar, or what lies behind an ear. Shade changes that little."""
    if not skin.any():
        return np.zeros(skin.shape, bool)
    smooth = cv2.GaussianBlur(colour.astype(np.float32), (0, 0), max(scale, 0.5))
    red = smooth[..., 0] / np.maximum(sum_of(smooth), 1)
    return red < np.median(red[skin]) - PALE


def masked_blurs(colour: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"], sigmas_px: tuple[float, float]
                 ) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 3"]]:
    """Gaussian means over the masked pixels alone, so that nothing beyond an edge leaks in; the wider first.

    Where the narrow one reaches no masked pixel it goes over into the wide one, and that into the mean of all.
    """
    stacked = np.empty((*mask.shape, 4), np.float32)
    write_masked(colour, mask, stacked)
    whole = np.array(cv2.mean(stacked)) + 1e-9
    fallback = np.broadcast_to(whole[:3] / whole[3], colour.shape).astype(np.float32)
    out = []
    for sigma in sorted(set(sigmas_px), reverse=True):
        step = max(1, int(sigma / 3))
        size = (-(-mask.shape[1] // step), -(-mask.shape[0] // step))
        coarse = cv2.resize(stacked, size, interpolation=cv2.INTER_AREA) if step > 1 else stacked
        blurred = cv2.GaussianBlur(coarse, (0, 0), sigma / step, borderType=cv2.BORDER_CONSTANT)
        blurred = cv2.resize(blurred, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) if step > 1 else blurred
        wider, fallback = fallback, np.empty(colour.shape, np.float32)
        write_means(blurred, wider, fallback)
        out.append(fallback)
    return out[0], out[-1]


@compiled
def write_masked(colour, mask, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write colours (H,W,3), and ones, of the masked pixels; zeros elsewhere."""
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            for c in range(4):
                out[y, x, c] = (colour[y, x, c] if c < 3 else 1) if mask[y, x] else 0


@compiled
def write_means(blurred, wider, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write blurred sums (H,W,3) over blurred counts, and where these vanish the wider mean."""
    little = np.float32(1e-3)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for c in range(3):
                out[y, x, c] = (blurred[y, x, c] + little * wider[y, x, c]) / (blurred[y, x, 3] + little)


def project(points: Float[np.ndarray, "*n 3"], camera: Camera) -> tuple[Float[np.ndarray, "*n 2"], Float[
        np.ndarray, "*n"]]:
    """Pixels and depths (mm), single precision; points behind the camera land far outside."""
    pose = camera.cam_from_head.astype(np.float32)
    cam = points @ pose[:3, :3].T + pose[:3, 3]
    depth = cam[..., 2]
    xy = distort(cam[..., :2] / np.maximum(depth, 1)[..., None], camera.distortion)
    px = xy * np.diag(camera.K_px)[:2].astype(np.float32) + camera.K_px[:2, 2].astype(np.float32)
    return np.where(depth[..., None] > 1, px, -1e4).astype(np.float32), depth


def shrunk(px: Float[np.ndarray, "*n 2"], sight: Sight) -> Float[np.ndarray, "*n 2"]:
    """The same points in the sight's smaller picture."""
    scale = np.array(sight.small.size_wh, np.float32) / np.array(sight.camera.size_wh, np.float32)
    return (px + np.float32(0.5)) * scale - (np.float32(0.5) + np.array(sight.corner_px, np.float32))
