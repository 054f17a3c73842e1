"""Shape: from the fitted head to the person's own surface, in four steps.

  measure   depth by flow under the recovered cameras, on the fitted head; its skin moves there along its normals
  lay       the head is laid onto that surface anew, so that its landmarks lie where the detector sees the person's in
            near-frontal views (the surface alone lets the anatomy slide along itself)
  again     depth is measured again on the finer mesh, and the skin moves there
  nose      is measured again, its nostrils are opened where the pictures show them, and then it is measured once
            more, now that they hang across nothing (`recon.nose`, `recon.nostrils`)
The topology, the texture layout, the pins and the regions stay the model's, on a finer mesh: of the face, and wherever
skin has long edges. `recon.bust` halves those once more when all is measured, for operations act there, too.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from core.progress import Progress, part, silent
from core.records import freeze, record
from core.subdivide import Split, between, finer, halved
from recon.dense import DenseOptions, joined, measure_depths
from recon.lids import EYE_RINGS, behind_lids, followed, seated, ways
from recon.nose import nose_again
from recon.nostrils import opened
from recon.observations import Observations
from recon.outline import OutlineOptions, measure_outlines
from recon.scene import cast, scene_of
from recon.skin import all_skin, others, outlined, still_skin
from recon.surface import SurfaceOptions, carried, disagreement, laid_on, offsets
from recon.tracks import OVAL

Picture = UInt8[np.ndarray, "h w 3"]
EDGES = [k for ring in EYE_RINGS.values() for k in ring]


@record
class ShapeOptions:
    """passes: measurements on the coarse and on the fine mesh. frontal_rad: views no farther from the straight look say
    where landmarks lie. pin_sd_mm: how well they say it. least_depths: measured places below which the fitted head
    stands as it is. seen_mm, unseen_mm: one sd of the surface where much, and where nothing, was measured; support:
    measurements (1/mm2 near a vertex) that halve the way from one to the other; differ, most_mm: so much of what the
    film's views differ by is added to what was measured, and at most. outline: None where the cameras are too rough to
    tell where a head ends (a tip drawn out to a point on a small mannequin) or a nostril. nostril_mm: one sd of how
    deep that is.
    """

    passes: tuple[int, int] = (1, 1)
    frontal_rad: float = 0.24
    pin_sd_mm: float = 0.3
    least_depths: int = 3000
    seen_mm: float = 0.2
    differ: float = 1.5
    most_mm: float = 0.5
    unseen_mm: float = 1.3
    nostril_mm: float = 2.5
    support: float = 12.0
    dense: DenseOptions = DenseOptions()
    outline: OutlineOptions | None = OutlineOptions()
    surface: SurfaceOptions = SurfaceOptions()


DEFAULTS = ShapeOptions()
FARTHEST_PIN_MM = 12.0
"""A landmark seen farther from its pin than this was seen wrongly."""
LARGEST_MM = 6.0
"""Longer edges of skin are halved; with shorter ones the skin under the chin, which little measures, came out worse."""


@record
class Shape:
    """mesh and anatomy, sd_mm (V,) of the surface along its normal, depths: how many places were measured."""

    mesh: Mesh
    anatomy: Anatomy
    sd_mm: Float[np.ndarray, "v"]
    depths: int

    def __post_init__(self) -> None:
        freeze(self, sd_mm=(self.sd_mm, float))


def own_shape(head: Mesh, anatomy: Anatomy, cameras: Sequence[Camera], pictures: Callable[[int], Picture],
              masks: Sequence[UInt8[np.ndarray, "h w"]], seen: Observations, rasterize: Rasterize,
              options: ShapeOptions = DEFAULTS, progress: Progress = silent) -> Shape | None:
    """The person's own surface, or None where too little could be measured (then the fitted head stands)."""
    def measured(mesh: Mesh, of: Anatomy, share: Progress) -> tuple[Mesh, np.ndarray, int, float]:
        depths = measure_depths(mesh, all_skin(of), cameras, pictures, masks, rasterize, options.dense, share)
        if len(depths.sd_mm) < options.least_depths:
            return mesh, np.zeros(len(mesh.vertices_mm)), 0, 0.0
        if options.outline is not None:
            outlines = measure_outlines(mesh, outlined(of), cameras, pictures, rasterize, options.outline)
            depths = joined(depths, outlines)
        behind = behind_lids(mesh, of)
        way = ways(mesh, of, behind)
        along, support = offsets(mesh, depths, np.where(behind, 1, 1 - others(of)), options.surface, way)
        moved = with_eyes(mesh, followed(mesh, along[:, None] * way, behind), of)
        return moved, support, len(depths.sd_mm), disagreement(mesh, depths, along, way, options.surface)

    surface, on_surface, _ = finer(head, anatomy, on_face(head, anatomy))
    for turn in range(options.passes[0]):
        surface, _, count, _ = measured(surface, on_surface, part(progress, turn / 2, (turn + 1) / 2))
        if count == 0:
            return None
    progress(0.5, "Finding the person's landmarks on the surface")
    places, sd = frontal_landmarks(surface, on_surface, cameras, seen, options)
    laid = laid_on(head, surface, anatomy.pins478, places, sd, 0.02 + 0.98 * still_skin(anatomy))
    mesh, fine = with_eyes(head, laid, anatomy), anatomy
    for _ in range(2):
        mesh, fine, _ = curved(mesh, fine, between(mesh, on_face(mesh, fine)))
    mesh, fine = evened(mesh, fine)
    support, differ, inside = np.zeros(len(mesh.vertices_mm)), 0.0, np.zeros(len(mesh.vertices_mm), bool)
    for _ in range(options.passes[1]):
        mesh, support, count, differ = measured(mesh, fine, part(progress, 0.55, 1.0))
    if options.outline is not None and count:
        how = cameras, pictures, masks, rasterize, options.dense, options.outline, options.surface
        closed = nose_again(mesh, fine, np.zeros(len(support), bool), *how)
        mesh, fine = opened(closed, fine, cameras, pictures)
        inside = (mesh.vertices_mm != closed.vertices_mm).any(1)
        mesh, support = nose_again(mesh, fine, inside, *how), np.where(inside, 0, support)
    places, sd = frontal_landmarks(mesh, fine, cameras, seen, options)
    mesh = seated(mesh, fine, places, np.isfinite(sd))
    seen_mm = np.hypot(options.seen_mm, min(options.differ * differ, options.most_mm))
    spread = np.where(inside, options.nostril_mm, options.unseen_mm / (1 + support / options.support))
    return Shape(mesh=mesh, anatomy=fine, sd_mm=np.hypot(seen_mm, spread), depths=count)


def curved(mesh: Mesh, anatomy: Anatomy, edges: Bool[np.ndarray, "f 3"]) -> tuple[Mesh, Anatomy, Split]:
    """A finer mesh whose new vertices lie off the halved edges as far as the normals at both ends say (the middle of a
    cubic PN edge: Vlachos et al., Curved PN triangles, 2001): chords of 4 mm cut 0.2 mm off a nose's wing."""
    fine, on_fine, made = halved(mesh, anatomy, edges)
    normals = mesh.vertex_normals()
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    first, second = made.ends.T
    edge = mesh.vertices_mm[second] - mesh.vertices_mm[first]
    ahead, behind = (edge * normals[first]).sum(1), -(edge * normals[second]).sum(1)
    alike = np.clip((normals[first] * normals[second]).sum(1), 0, 1)  # not across a fold
    moved = fine.vertices_mm.copy()
    skin = (1 - others(anatomy))[made.ends].min(1)
    moved[len(mesh.vertices_mm):] -= (skin * alike / 8)[:, None] * (
        ahead[:, None] * normals[first] + behind[:, None] * normals[second])
    return fine.with_vertices(moved), on_fine, made


def on_face(mesh: Mesh, anatomy: Anatomy) -> Bool[np.ndarray, "v"]:
    """Where the mesh is made finer: on the face and one triangle beyond (under the chin, where edges are 8 mm long)."""
    there = np.max([anatomy.region(n) for n in ("face", "forehead")], axis=0) > 0.02
    wider = there.copy()
    wider[mesh.faces[there[mesh.faces].any(1)]] = True
    return wider


def evened(mesh: Mesh, anatomy: Anatomy) -> tuple[Mesh, Anatomy]:
    """The same without long edges of skin."""
    while (long := long_edges(mesh, anatomy)).any():
        mesh, anatomy, _ = curved(mesh, anatomy, long)
    return mesh, anatomy


def long_edges(mesh: Mesh, anatomy: Anatomy) -> Bool[np.ndarray, "f 3"]:
    """The edges ab, bc, ca over `LARGEST_MM` that touch bare skin: ears, throat, angle and border of the jaw."""
    following = np.roll(mesh.faces, -1, axis=1)
    length = np.linalg.norm(mesh.vertices_mm[mesh.faces] - mesh.vertices_mm[following], axis=2)
    skin = all_skin(anatomy) > 0.5
    return (length > LARGEST_MM) & (skin[mesh.faces] | skin[following])


def frontal_landmarks(surface: Mesh, anatomy: Anatomy, cameras: Sequence[Camera], seen: Observations,
                      options: ShapeOptions) -> tuple[Float[np.ndarray, "478 3"], Float[np.ndarray, "478"]]:
    """Where the near-frontal views' landmarks fall on the surface (median over views), and one sd (mm); inf for the
    face's outline, which slides, the irises, and what fell far from its pin. The lids' edges stay as deep as their pins
    are: beside them the surface jumps from lid to eyeball."""
    angles = np.array([c.head_angles_rad for c in cameras])
    away = np.hypot(angles[:, 0], angles[:, 1] - np.median(angles[:, 1]))
    views = np.flatnonzero(away < max(options.frontal_rad, np.sort(away)[min(2, len(away) - 1)] + 1e-9))
    scene = scene_of(surface)
    hits, pins = [], surface.points(anatomy.pins478)
    for view in views:
        camera = cameras[view]
        ray = np.column_stack([(seen.points_px[view] - camera.K_px[:2, 2]) / camera.K_px[0, 0], np.ones(478)])
        ray = ray @ camera.cam_from_head[:3, :3]
        centre = camera.position_mm
        distance = cast(scene, np.tile(centre, (478, 1)), ray).astype(float)
        ahead = ((pins[EDGES] - centre) * ray[EDGES]).sum(1) / (ray[EDGES] ** 2).sum(1)
        distance[EDGES] = np.where(np.isfinite(distance[EDGES]), ahead, np.nan)
        hits.append(centre + ray * np.where(np.isfinite(distance), distance, np.nan)[:, None])
    places = np.full((478, 3), np.nan)
    often = np.isfinite(np.stack(hits)[..., 0]).mean(0) > 0.5
    places[often] = np.nanmedian(np.stack(hits)[:, often], axis=0)
    gap = np.linalg.norm(places - pins, axis=1)
    sd = np.where(np.isfinite(gap) & (gap < FARTHEST_PIN_MM), options.pin_sd_mm, np.inf)
    sd[list(OVAL)] = np.inf
    sd[468:] = np.inf
    return np.nan_to_num(places), sd


def with_eyes(head: Mesh, laid: Mesh, anatomy: Anatomy) -> Mesh:
    """The laid head with its eyeballs carried along by their lids."""
    for side in ("l", "r"):
        ball = anatomy.region(f"eye_{side}") > 0.5
        lids = anatomy.region(f"eyelids_{side}") > 0.5
        laid = laid.with_vertices(carried(head, laid, ball, lids & ~ball))
    return laid
