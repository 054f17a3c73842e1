"""Flow: dense correspondence of one camera's picture before and after an operation.

Every pixel after -> the surface point that it shows -> the same point on the head before -> a pixel before.
Only the window in which something changes is rasterised: a camera of that window is the same camera with its principal
point moved.
"""

import numpy as np
from jaxtyping import Bool, Float

from core.camera import Camera
from core.channels import any_of
from core.correspondence import Correspondence
from core.fragments import Fragments
from core.mesh import Mesh
from core.records import given, record
from core.texture import Texture
from render.masks import SURGICAL, SurgicalMaskOptions, moving, px_per_mm_of, surgical_mask, touched
from render.mipmap import Mipmap
from render.mix import compiled, of_vertices
from render.picture import AS_SEEN, Skin, shaded
from render.rasterize import Rasterizer

MARGIN_MM = 8.0
"""The window reaches so far beyond the skin that moves: the mask's feather, and what lies beside a silhouette."""


@record
class Seen:
    """What a camera's window sees of the head before and after: `skins` draws its texture there."""

    correspondence: Correspondence
    camera: Camera
    before: Fragments
    after: Fragments


def correspondence(before: Rasterizer, after: Rasterizer, camera: Camera,
                   mask: SurgicalMaskOptions = SURGICAL) -> Seen | None:
    """How the picture of `camera` changes when the head of `before` becomes that of `after`; None when it does not.

    after: the same triangles with other positions. ValueError: it has others.
    """
    mesh = before.mesh
    if after.mesh.vertices_mm.shape != mesh.vertices_mm.shape:
        raise ValueError("before and after must have the same vertices")
    displacement_mm = after.mesh.vertices_mm - mesh.vertices_mm
    moved = moving(mesh, displacement_mm, camera, mask)
    if not moved.any():
        return None
    px_per_mm = px_per_mm_of(mesh, camera, moved)
    rows, columns = touched(mesh, displacement_mm, camera, moved, MARGIN_MM * px_per_mm)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    window = windowed(camera, rows, columns)
    seen_before, seen_after = before(window), after(window)
    allowed = surgical_mask(seen_before, seen_after, mesh, displacement_mm, window, mask, moved)
    shows_moved = active(seen_after, mesh, displacement_mm)
    flow, from_depth = motion(seen_after, shows_moved, mesh, window)
    return Seen(camera=window, before=seen_before, after=seen_after, correspondence=Correspondence(
        left=columns.start, top=rows.start, flow_px=given(flow), depth_after_mm=seen_after.depth_mm,
        depth_before_mm=seen_before.depth_mm, from_depth_mm=given(from_depth), moved=given(shows_moved),
        normals_before=given(normals_where(shows_moved, seen_after, mesh, before.surface.normals)),
        normals_after=given(normals_where(shows_moved, seen_after, mesh, after.surface.normals)),
        mask=given(allowed), px_per_mm=px_per_mm))


def windowed(camera: Camera, rows: slice, columns: slice) -> Camera:
    """The camera of a window of the picture."""
    K = camera.K_px.copy()
    K[:2, 2] -= (columns.start, rows.start)
    return Camera(K_px=K, cam_from_head=camera.cam_from_head, distortion=camera.distortion,
                  size_wh=(columns.stop - columns.start, rows.stop - rows.start))


def active(fragments: Fragments, mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that show a triangle with a corner that moves at all."""
    out = np.zeros(fragments.face.shape, bool)
    write_active(fragments.face, mesh.faces, any_of(displacement_mm != 0), out)
    return out


@compiled
def write_active(face, faces, moves, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write `active`. moves (V,): which vertices do."""
    for y in range(face.shape[0]):
        for x in range(face.shape[1]):
            if face[y, x] >= 0:
                a, b, c = faces[face[y, x]]
                out[y, x] = moves[a] or moves[b] or moves[c]


def motion(after: Fragments, moved: Bool[np.ndarray, "h w"], mesh: Mesh, camera: Camera) -> tuple[
        Float[np.ndarray, "h w 2"], Float[np.ndarray, "h w"]]:
    """Where the skin of every pixel was before, relative to the pixel, and how deep it was."""
    flow = np.zeros((*moved.shape, 2), np.float32)
    depth = after.depth_mm.copy()  # what did not move was as deep before
    if np.any(camera.distortion):
        place = of_vertices(after.face[moved], after.bary[moved], mesh.faces, mesh.vertices_mm)
        y, x = np.nonzero(moved)
        flow[moved] = camera.px_from_points(place) - np.stack([x, y], 1)
        depth[moved] = camera.cam_from_points(place)[:, 2]
    else:
        write_motion(moved, after.face, after.bary, mesh.faces, mesh.vertices_mm, camera.cam_from_head, camera.K_px,
                     flow, depth)
    return flow, depth


@compiled
def write_motion(moved, face, bary, faces, vertices, pose, K, flow, depth):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, E501
    """Write `motion` of a lens without distortion."""
    for y in range(moved.shape[0]):
        for x in range(moved.shape[1]):
            if moved[y, x]:
                f, b = faces[face[y, x]], bary[y, x]
                cam = np.empty(3)
                place = np.empty(3)
                for c in range(3):
                    place[c] = b[0] * vertices[f[0], c] + b[1] * vertices[f[1], c] + b[2] * vertices[f[2], c]
                for c in range(3):
                    cam[c] = pose[c, 0] * place[0] + pose[c, 1] * place[1] + pose[c, 2] * place[2] + pose[c, 3]
                right, down = (cam[0] / cam[2], cam[1] / cam[2]) if cam[2] > 1e-6 else (np.nan, np.nan)
                flow[y, x, 0] = K[0, 0] * right + K[0, 1] * down + K[0, 2] - x
                flow[y, x, 1] = K[1, 0] * right + K[1, 1] * down + K[1, 2] - y
                depth[y, x] = cam[2]


def normals_where(where: Bool[np.ndarray, "h w"], fragments: Fragments, mesh: Mesh,
                  normals: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "h w 3"]:
    """Smooth unit normals of the given pixels, zero elsewhere."""
    out = np.zeros((*where.shape, 3), np.float32)
    write_normals(where, fragments.face, fragments.bary, mesh.faces, normals, out)
    return out


@compiled
def write_normals(where, face, bary, faces, normals, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write `normals_where`."""
    for y in range(where.shape[0]):
        for x in range(where.shape[1]):
            if where[y, x] and face[y, x] >= 0:
                square = np.float32(0)
                for c in range(3):
                    for k in range(3):
                        out[y, x, c] += bary[y, x, k] * normals[faces[face[y, x], k], c]
                    square += out[y, x, c] * out[y, x, c]
                size = max(np.sqrt(square), np.float32(1e-9))
                for c in range(3):
                    out[y, x, c] /= size


def skins(seen: Seen, before: Rasterizer, after: Rasterizer, texture: Texture | Mipmap) -> tuple[
        Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 3"]]:
    """The head's texture (sRGB 0..255, as seen) in the window, on the head before and after; black beside it."""
    skin = Mipmap(texture) if isinstance(texture, Texture) else texture
    both = []
    for rasterizer, fragments in ((before, seen.before), (after, seen.after)):
        drawn = Skin(rasterizer.surface, seen.camera, skin, AS_SEEN)
        drawn.background = np.zeros(3, np.float32)
        both.append(shaded(fragments, drawn)[0])
    return both[0], both[1]
