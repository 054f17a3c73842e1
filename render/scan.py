"""Scan: what every pixel of a camera without distortion sees of a mesh, triangle by triangle into a depth buffer.

Five times as fast as casting a ray per pixel, which stays for bent lenses and for a mesh that reaches the camera.
Letters: e_k twice the area of pixel centre and the edge opposite to corner k, px^2; w_k = 1 / z_k. In the picture 1/z
is linear, so a pixel's depth is sum(e) / sum(e w), and its share of corner k is e_k w_k / sum(e w).
"""

import numpy as np

from core.camera import Camera
from core.fragments import Fragments
from core.mesh import Mesh
from core.records import given
from render.mix import compiled

NEAREST_MM = 1.0
"""A vertex nearer to the camera's plane makes its triangles reach behind it, or nearly: those are not scanned."""


def scanned(mesh: Mesh, camera: Camera) -> Fragments | None:
    """Every pixel of the camera; None where only rays can tell."""
    cam = camera.cam_from_points(mesh.vertices_mm)
    if np.any(camera.distortion) or (len(cam) and cam[:, 2].min() < NEAREST_MM):
        return None
    width, height = camera.size_wh
    face = np.full((height, width), -1, np.int32)
    bary = np.zeros((height, width, 3), np.float32)
    depth_mm = np.full((height, width), np.inf, np.float32)
    px = cam[:, :2] / cam[:, 2:] @ camera.K_px[:2, :2].T + camera.K_px[:2, 2]
    scan(mesh.faces, px, 1 / cam[:, 2], face, bary, depth_mm)
    return Fragments(face=given(face), bary=given(bary), depth_mm=given(depth_mm))


@compiled
def scan(faces, px, w, face, bary, depth_mm):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write every triangle's pixels where nothing nearer is written. Two triangles work out the edge they share from
    the same numbers, so no pixel falls between them."""
    height, width = face.shape
    for f in range(len(faces)):
        a, b, c = faces[f]
        ax, ay, bx, by, cx, cy = px[a, 0], px[a, 1], px[b, 0], px[b, 1], px[c, 0], px[c, 1]
        left, right = max(np.ceil(min(ax, bx, cx)), 0.0), min(np.floor(max(ax, bx, cx)), width - 1.0)
        top, bottom = max(np.ceil(min(ay, by, cy)), 0.0), min(np.floor(max(ay, by, cy)), height - 1.0)
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if area == 0 or left > right or top > bottom:
            continue
        side = 1.0 if area > 0 else -1.0
        for y in range(int(top), int(bottom) + 1):
            for x in range(int(left), int(right) + 1):
                ea = side * ((bx - x) * (cy - y) - (cx - x) * (by - y))
                eb = side * ((cx - x) * (ay - y) - (ax - x) * (cy - y))
                ec = side * ((ax - x) * (by - y) - (bx - x) * (ay - y))
                if ea < 0 or eb < 0 or ec < 0:
                    continue
                total = ea * w[a] + eb * w[b] + ec * w[c]
                if total <= 0:
                    continue
                depth = np.float32((ea + eb + ec) / total)
                if depth < depth_mm[y, x]:
                    depth_mm[y, x], face[y, x] = depth, f
                    bary[y, x, 0] = ea * w[a] / total
                    bary[y, x, 1] = eb * w[b] / total
                    bary[y, x, 2] = ec * w[c] / total
