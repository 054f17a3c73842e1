"""Complete: skin where no picture shows it, from the mirror side, from around, and dark where no light reaches.

Broad colours are completed on the surface, not in the texture: there, neighbours are neighbours across every seam of
the layout. Letters: v vertex, c known colour, w its trust, p what is expected, x the answer.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import diags
from scipy.spatial import cKDTree

from core.mesh import Mesh
from recon.graph import edges_of, neighbours
from recon.layout import Layout, at_vertices, on_texels
from recon.scene import cast, scene_of
from recon.sight import Zones
from recon.springs import springs

MIRROR_MM = 6.0
"""A point's mirror image must lie this near to the surface, and face the same way, to stand in for it."""
KEEP_MM, REACH_MM = 0.4, 60.0
"""Distance over which known colours blend into completed ones, and over which they carry beyond what was seen."""
FADE_MM = 15.0
"""Width over which the expected colours of neighbouring parts blend."""
SHADE_MM = 3.0
"""The same for the darkness of cavities."""
CAVITY = 0.2
"""Skin that sees less of the sky than this is drawn darker where it was not seen."""
CROWN_MM = 40.0
"""Above this height (over the eye corners) the scalp wears hair, if it does."""
SKY_RAYS = 64
"""Directions from which light may reach a point."""
SKY_MM = 60.0
"""How far a surface shades its surroundings."""


def completed(mesh: Mesh, normals: Float[np.ndarray, "v 3"], zone: Zones, flat: Layout,
              broad: Float[np.ndarray, "t t 3"], trust: Float[np.ndarray, "t t"], mean_skin: Float[np.ndarray, "3"],
              ) -> Float[np.ndarray, "v 3"]:
    """A broad colour for every vertex, from what was seen, the mirror side and what is expected there."""
    known, sure = known_at_vertices(mesh, flat, broad, trust)
    expected = np.tile(mean_skin, (len(sure), 1))
    for part, colour in expected_parts(mesh, zone, known, sure):
        expected += part[:, None] * (colour - expected)
    expected = diffused(mesh, expected, sum(zone.eyes, zone.lining) < 0.5)
    hidden = np.flatnonzero((sum(zone.eyes, zone.lining) < 0.5) & (sure < 0.95))
    shade = np.ones((len(sure), 1))
    shade[hidden, 0] = np.clip(openness(mesh, normals, hidden) / CAVITY, 0.15, 1)
    expected *= diffused(mesh, shade, sum(zone.eyes, zone.lining) < 0.5, SHADE_MM)
    twin, may = mirror_vertices(mesh, normals)
    other_side = membrane(mesh, known[twin], may * sure[twin], expected)
    return np.clip(membrane(mesh, known, sure, other_side), 0, 255)


def expected_parts(mesh: Mesh, zone: Zones, known: Float[np.ndarray, "v 3"], sure: Float[np.ndarray, "v"]) -> Iterator[
        tuple[Float[np.ndarray, "v"], Float[np.ndarray, "3"]]]:
    """Parts that have a colour of their own, and that colour: the scalp its hair, an eye its white."""
    crown = (zone.scalp > 0.5) & (mesh.vertices_mm[:, 1] > CROWN_MM) & (sure > 0.5)
    if crown.any():
        yield zone.scalp, np.median(known[crown], axis=0)
    for eye in zone.eyes:
        rows = (eye > 0.5) & (sure > 0.5)
        if rows.any():
            bright = known[rows].sum(1)
            yield eye, np.median(known[rows][bright >= np.quantile(bright, 0.6)], axis=0)


def carried_on(mesh: Mesh, flat: Layout, values: Float[np.ndarray, "t t 3"], trust: Float[np.ndarray, "t t"]) -> Float[
        np.ndarray, "t t 3"]:
    """Factors about one, carried on over the surface to where they are not trusted, and there towards one."""
    known, sure = known_at_vertices(mesh, flat, values, trust)
    return on_texels(membrane(mesh, known, sure, np.ones_like(known)), mesh, flat)


def known_at_vertices(mesh: Mesh, flat: Layout, values: Float[np.ndarray, "t t 3"], trust: Float[np.ndarray, "t t"],
                      ) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, "v"]]:
    """A texture's values and their trust at every vertex."""
    table = at_vertices(np.dstack([values * trust[..., None], trust])[flat.nearest], mesh)
    return table[:, :3] / np.maximum(table[:, 3:], 1e-6), table[:, 3]


def membrane(mesh: Mesh, known: Float[np.ndarray, "v c"], trust: Float[np.ndarray, "v"],
             expected: Float[np.ndarray, "v c"], keep_mm: float = KEEP_MM) -> Float[np.ndarray, "v c"]:
    """Colours that keep to what is known and follow the expectation's differences elsewhere (screened Poisson).

    Minimises sum w (x - c)^2 + sum over edges ((x_i - p_i) - (x_j - p_j))^2 + sum e (x - p)^2 with w = trust area / s^2
    and e = area / r^2: s `keep_mm` is how near to an edge known colours give way, r `REACH_MM` how far they carry.
    """
    corner_mm2 = np.linalg.norm(mesh.face_normals(), axis=1) / 6
    area = np.bincount(mesh.faces.ravel(), np.repeat(corner_mm2, 3), len(mesh.vertices_mm))
    weight = trust * (area + 1e-6) / keep_mm**2
    held = weight + (area + 1e-6) / REACH_MM**2
    return expected + springs(mesh).at_rest(held, weight[:, None] * (known - expected))


def diffused(mesh: Mesh, values: Float[np.ndarray, "v c"], where: Bool[np.ndarray, "v"], over_mm: float = FADE_MM
             ) -> Float[np.ndarray, "v c"]:
    """Values averaged with their neighbours again and again, so that a border fades over some millimetres."""
    i, j = edges_of(mesh.faces)
    both = where[i] & where[j]
    i, j = i[both], j[both]
    graph = neighbours(i, j, len(values))
    degree = np.asarray(graph.sum(1)).ravel()
    length = float(np.median(np.linalg.norm(mesh.vertices_mm[i] - mesh.vertices_mm[j], axis=1))) if len(i) else over_mm
    mean = diags(0.5 / np.maximum(degree, 1)) @ graph
    for _ in range(int(min(200, 2 * (over_mm / length) ** 2))):
        values = np.where(degree[:, None] > 0, 0.5 * values + mean @ values, values)
    return values


def mirror_vertices(mesh: Mesh, normals: Float[np.ndarray, "v 3"]) -> tuple[Int[np.ndarray, "v"], Bool[
        np.ndarray, "v"]]:
    """The vertex nearest to every vertex's mirror image, and whether it may stand in for it."""
    flip = np.array([-1.0, 1.0, 1.0])
    away, nearest = cKDTree(np.concatenate([mesh.vertices_mm / MIRROR_MM, normals], 1)).query(
        np.concatenate([mesh.vertices_mm * flip / MIRROR_MM, normals * flip], 1))
    return nearest, away < 1


def openness(mesh: Mesh, normals: Float[np.ndarray, "v 3"], rows: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Share of the sky, weighted by the cosine, that some vertices see past the head: 1 in the open, 0 in a cavity."""
    normals = normals[rows]
    k = np.arange(SKY_RAYS) + 0.5  # cosine-weighted spiral: z = sqrt(1 - k / N), golden angle
    radius, angle = np.sqrt(k / SKY_RAYS), k * np.pi * (3 - np.sqrt(5))
    local = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - k / SKY_RAYS)], 1)
    side = np.cross(normals, np.where(np.abs(normals[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    frames = np.stack([side, np.cross(normals, side), normals], 1)
    direction = np.einsum("kc,vcd->vkd", local, frames)
    start = np.broadcast_to((mesh.vertices_mm[rows] + 0.3 * normals)[:, None], direction.shape)
    return (cast(scene_of(mesh), start, direction) > SKY_MM).mean(1)


def mirrored(fine: Float[np.ndarray, "T T 3"], sure: Float[np.ndarray, "T T"], points: Float[np.ndarray, "t t 3"],
             inside: Bool[np.ndarray, "t t"]) -> Float[np.ndarray, "T T 3"]:
    """Detail of the other side where this one was not seen, and where the layout's mirror image is the head's."""
    away = np.linalg.norm(points[:, ::-1] * np.array([-1, 1, 1], np.float32) - points, axis=2)
    twin = ((away < 2 * MIRROR_MM) & inside & inside[:, ::-1]).astype(np.float32)
    other = cv2.resize(twin, sure.shape, interpolation=cv2.INTER_LINEAR) * np.clip(sure[:, ::-1] - sure, 0, 1)
    return fine + other[..., None] * fine[:, ::-1]
