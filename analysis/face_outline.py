"""Face outline: where a face ends in a photo (before background, hair, ear or neck), and where a symmetric head at the
same pose would end.

The photo's own outline is the smoothest path of strong colour edges near the expected one (dynamic programming across
a strip along it): single edges are too often a shadow, a beard's border or a collar. Expected is the fitted head
without neck and ears, averaged with its mirror image: pose, lens and the turn's sliding of the outline over the skin
are in both outlines alike, and cancel.

A *level* is a height on the picture, in shares of the way from the mouth's middle (0) to the menton (1); the eyes are
at about -1.7.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import gaussian_filter1d

from analysis.rectify import reduced
from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from core.records import freeze, record

REACH_MM, STEP_MM, RUNG_MM = 12.0, 0.5, 1.0
"""The outline is sought so far to both sides of the expected one, in such steps, at every RUNG_MM along it."""
STRIP_MM = 2.5
"""Colours of both sides of an edge are means over so much."""
EDGE, HOME_MM, BEND = 8.0, 7.0, 0.75
"""Colour difference (of 255) that counts fully; how far from home a path pays as much as a weak edge brings; price of a
mm of change per rung."""
MOST_BEND = 3
"""Steps that a path may change by from rung to rung."""
DEEP_MM = (6.0, 10.0)
"""Skin so far inside the edge is compared with the skin next to it: what differs is hair, an ear or a hand."""
UNEVEN = 30.0
FAINT = 6.0
"""An edge with less contrast is not believed (grey levels of 255)."""
BEHIND_JAW_MM, BELOW_JAW_MM = 12.0, 3.0
"""The head is cut so far behind the angles of the jaw and below the plane through them and the menton."""


@record
class Ladder:
    """Levels of a photo. mouth_px: level 0; down, left (2,): unit vectors, `left` the patient's; rung_px: one level."""

    mouth_px: Float[np.ndarray, "2"]
    down: Float[np.ndarray, "2"]
    left: Float[np.ndarray, "2"]
    rung_px: float
    px_per_mm: float

    def place(self, px: Float[np.ndarray, "n 2"]) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
        """Level, and mm to the patient's left of the midline."""
        away = px - self.mouth_px
        return away @ self.down / self.rung_px, away @ self.left / self.px_per_mm

    def crossings(self, line_px: Float[np.ndarray, "n 2"], levels: Float[np.ndarray, "l"]) -> Float[np.ndarray, "2 l"]:
        """How far out (mm) a line crosses each level on the patient's left (positive) and right (negative); the
        outermost crossing, NaN where there is none."""
        level, across = self.place(line_px)
        out = np.full((2, len(levels)), np.nan)
        for k, height in enumerate(levels):
            at = np.flatnonzero((level[:-1] - height) * (level[1:] - height) <= 0)
            share = (height - level[at]) / np.where(level[at + 1] == level[at], 1, level[at + 1] - level[at])
            x = across[at] + share * (across[at + 1] - across[at])
            if (x > 0).any():
                out[0, k] = x.max()
            if (x < 0).any():
                out[1, k] = x.min()
        return out

    def px(self, levels: Float[np.ndarray, "l"], across_mm: Float[np.ndarray, "l"]) -> Float[np.ndarray, "l 2"]:
        """Places on the picture."""
        return np.asarray(self.mouth_px + levels[:, None] * self.rung_px * self.down
                          + across_mm[:, None] * self.px_per_mm * self.left)


@record
class Trace:
    """An outline as the photo has it. px (N,2); level (N,): of the expected place; off_mm (N,): outward of it; sure
    (N,): a clear edge with skin of one colour inside."""

    px: Float[np.ndarray, "n 2"]
    level: Float[np.ndarray, "n"]
    off_mm: Float[np.ndarray, "n"]
    sure: Bool[np.ndarray, "n"]

    def __post_init__(self) -> None:
        freeze(self, px=(self.px, float), level=(self.level, float), off_mm=(self.off_mm, float),
               sure=(self.sure, bool))


@record
class Posed:
    """A photo of a fitted head: reduced picture, camera, the head and its levels; expected (2,L): where a symmetric
    head ends at `levels`, left and right (mm across)."""

    picture: UInt8[np.ndarray, "h w 3"]
    camera: Camera
    mesh: Mesh
    ladder: Ladder
    levels: Float[np.ndarray, "l"]
    expected: Float[np.ndarray, "2 l"]


def posed(picture: UInt8[np.ndarray, "h w 3"], camera: Camera, mesh: Mesh, anatomy: Anatomy,
          levels: Float[np.ndarray, "l"], rasterize: Rasterize) -> Posed:
    """A photo made ready. camera, mesh: the fitted head in mm, posed as in the photo, in its head frame."""
    picture, camera = reduced(picture, camera)
    ladder = ladder_of(camera, mesh, anatomy)
    both = [ladder.crossings(silhouette(head, camera, rasterize), levels)
            for head in (bare(mesh, anatomy), mirror_image(bare(mesh, anatomy)))]
    return Posed(picture=picture, camera=camera, mesh=mesh, ladder=ladder, levels=levels,
                 expected=np.mean(both, axis=0))


def ladder_of(camera: Camera, mesh: Mesh, anatomy: Anatomy) -> Ladder:
    """By the midline's nasion, mouth and menton."""
    points = np.concatenate([mesh.points(anatomy.pin(name)) for name in ("n", "sto", "me")]) * [0, 1, 1]
    nasion, mouth, chin = camera.px_from_points(points)
    down = (chin - nasion) / np.linalg.norm(chin - nasion)
    px_per_mm = float(camera.K_px[0, 0] / camera.cam_from_points(points[1:2])[0, 2])
    return Ladder(mouth_px=mouth, down=down, left=np.array([down[1], -down[0]]), rung_px=float((chin - mouth) @ down),
                  px_per_mm=px_per_mm)


def bare(mesh: Mesh, anatomy: Anatomy) -> Mesh:
    """The head without neck, throat and ears, cut by the plane of the jaw's lower border: triangles beyond it are gone,
    of those that it cuts the corners beyond it are drawn up to it."""
    me, left, right = (mesh.points(anatomy.pin(name))[0] for name in ("me", "go_l", "go_r"))
    angle, v = (left + right) / 2, np.array(mesh.vertices_mm)
    border = angle[1] + (v[:, 2] - angle[2]) / (me[2] - angle[2]) * (me[1] - angle[1]) - BELOW_JAW_MM
    behind = angle[2] - BEHIND_JAW_MM
    ears = np.maximum(anatomy.region("ear_l"), anatomy.region("ear_r")) > 0.3
    rows = ((v[:, 1] > border) & (v[:, 2] > behind))[mesh.faces].any(1) & ~ears[mesh.faces].any(1)
    v[:, 1], v[:, 2] = np.maximum(v[:, 1], border), np.maximum(v[:, 2], behind)
    return dataclasses.replace(mesh, vertices_mm=v, faces=mesh.faces[rows], faces_uv=mesh.faces_uv[rows])


def mirror_image(mesh: Mesh) -> Mesh:
    """Left and right exchanged."""
    return dataclasses.replace(mesh, vertices_mm=mesh.vertices_mm * [-1, 1, 1], faces=mesh.faces[:, ::-1],
                               faces_uv=mesh.faces_uv[:, ::-1])


def silhouette(mesh: Mesh, camera: Camera, rasterize: Rasterize) -> Float[np.ndarray, "n 2"]:
    """The closed line round the mesh in the picture; a single point when it is not in it."""
    mask = rasterize(mesh, camera).covered.astype(np.uint8)
    lines = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    if not lines:
        return np.zeros((1, 2))
    line = gaussian_filter1d(max(lines, key=len)[:, 0].astype(float), 2.0, axis=0, mode="wrap")
    return np.concatenate([line, line[:1]])


def traced(photo: Posed, start_px: Float[np.ndarray, "n 2"]) -> Trace | None:
    """The photo's outline near a line; None when the line is too short."""
    px_per_mm = photo.ladder.px_per_mm
    gone = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(start_px, axis=0), axis=1))])
    if gone[-1] < 10 * RUNG_MM * px_per_mm:
        return None
    at = np.arange(0, gone[-1], RUNG_MM * px_per_mm)
    home = np.stack([np.interp(at, gone, start_px[:, k]) for k in range(2)], 1)
    out = outward(home, photo.ladder)
    reach = REACH_MM + DEEP_MM[1]
    off = np.arange(-reach, reach + STEP_MM / 2, STEP_MM)
    read = colours(photo.picture, home[:, None] + off[None, :, None] * px_per_mm * out[:, None], px_per_mm)
    inner, outer = (strip(read, off, edges) for edges in ((-STRIP_MM, 0.0), (0.0, STRIP_MM)))
    contrast = np.linalg.norm(outer - inner, axis=2) + 2 * np.linalg.norm(np.gradient(read, axis=1), axis=2)
    near = np.abs(off) <= REACH_MM
    path = best_path(-np.log1p(contrast[:, near] / EDGE) + (off[near] / HOME_MM) ** 2)
    rung, column = np.arange(len(home)), np.flatnonzero(near)[path]
    deep = strip(read, off, (-DEEP_MM[1], -DEEP_MM[0]))
    uneven = np.linalg.norm((inner - deep) * [0.5, 1, 1], axis=2)[rung, column]
    clear = np.linalg.norm(outer - inner, axis=2)[rung, column]
    moved = gaussian_filter1d(off[column], 1.5, mode="nearest")
    return Trace(px=home + moved[:, None] * px_per_mm * out, level=photo.ladder.place(home)[0], off_mm=moved,
                 sure=(uneven < UNEVEN) & (clear > FAINT) & (np.abs(off[column]) < REACH_MM - 1))


def outward(line_px: Float[np.ndarray, "n 2"], ladder: Ladder) -> Float[np.ndarray, "n 2"]:
    """Unit normals of a line round the lower face, away from the face's middle."""
    along = np.gradient(gaussian_filter1d(line_px, 5, axis=0, mode="nearest"), axis=0)
    out = np.stack([along[:, 1], -along[:, 0]], 1)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    middle = ladder.mouth_px - 0.5 * ladder.rung_px * ladder.down
    return np.asarray(out if ((line_px - middle) * out).sum(1).mean() > 0 else -out)


def colours(picture: UInt8[np.ndarray, "h w 3"], px: Float[np.ndarray, "n m 2"], px_per_mm: float) -> Float[
        np.ndarray, "n m 3"]:
    """CIELAB at places, smoothed over a third of a millimetre and along the line."""
    lab = cv2.cvtColor(cv2.GaussianBlur(picture, (0, 0), max(px_per_mm / 3, 0.5)), cv2.COLOR_RGB2LAB)
    read = cv2.remap(lab, px.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(gaussian_filter1d(read.astype(float), 1.5, axis=0, mode="nearest"))


def strip(read: Float[np.ndarray, "n m 3"], off_mm: Float[np.ndarray, "m"], edges_mm: tuple[float, float]) -> Float[
        np.ndarray, "n m 3"]:
    """Mean colour from edges_mm[0] to edges_mm[1] beside each place across the strip."""
    total = np.concatenate([np.zeros_like(read[:, :1]), np.cumsum(read, 1)], 1)
    low, high = (np.clip(np.arange(len(off_mm)) + round(e / STEP_MM), 0, len(off_mm)) for e in edges_mm)
    return np.asarray((total[:, high] - total[:, low]) / np.maximum(high - low, 1)[None, :, None])


def best_path(cost: Float[np.ndarray, "n m"]) -> np.ndarray:
    """The column of every row on the cheapest path down, where a step aside costs BEND a millimetre."""
    count, wide = cost.shape
    total, source = cost[0].copy(), np.zeros(cost.shape, int)
    for row in range(1, count):
        reached, source[row] = np.full(wide, np.inf), np.arange(wide)
        for aside in range(-MOST_BEND, MOST_BEND + 1):
            low, high = max(0, -aside), min(wide, wide - aside)
            here = np.full(wide, np.inf)
            here[low:high] = total[low + aside:high + aside] + BEND * STEP_MM * abs(aside)
            better = here < reached
            reached[better], source[row, better] = here[better], np.arange(wide)[better] + aside
        total = reached + cost[row]
    path = [int(total.argmin())]
    for row in range(count - 1, 0, -1):
        path.append(int(source[row, path[-1]]))
    return np.array(path[::-1])
