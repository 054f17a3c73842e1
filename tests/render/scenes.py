"""Small known scenes: cameras, a single triangle, a globe, textures; and the slow rasteriser that must agree."""

import numpy as np

from core.camera import Camera, distort
from core.fragments import Fragments
from core.mesh import Mesh
from core.texture import Texture
from core.transforms import OPENCV_FROM_HEAD, rigid


def front_camera(focal_px: float = 600.0, size_wh: tuple[int, int] = (160, 120), distance_mm: float = 500.0,
                 distortion: tuple[float, ...] = (0, 0, 0, 0, 0), rotation: np.ndarray | None = None) -> Camera:
    """A camera in front of the face, its principal point in the middle of the picture."""
    width, height = size_wh
    K = np.array([[focal_px, 0, (width - 1) / 2], [0, focal_px, (height - 1) / 2], [0, 0, 1.0]])
    turned = OPENCV_FROM_HEAD @ (np.eye(3) if rotation is None else rotation)
    return Camera(K_px=K, cam_from_head=rigid(turned, np.array([0.0, 0.0, distance_mm])), size_wh=size_wh,
                  distortion=np.array(distortion, float))


def triangle(corners_mm: list[list[float]]) -> Mesh:
    """One triangle that carries the upper left half of its texture."""
    return Mesh(vertices_mm=np.array(corners_mm, float), faces=np.array([[0, 1, 2]]),
                uv=np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), faces_uv=np.array([[0, 1, 2]]))


def square(side_mm: float, z_mm: float = 0.0) -> Mesh:
    """A square that faces the camera and carries its texture upright (u to the patient's left, v down)."""
    h = side_mm / 2
    corners = np.array([[-h, h, z_mm], [h, h, z_mm], [h, -h, z_mm], [-h, -h, z_mm]])
    faces = np.array([[0, 3, 1], [1, 3, 2]])
    return Mesh(vertices_mm=corners, faces=faces, uv=np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]), faces_uv=faces)


def plain(color: tuple[int, int, int] = (180, 120, 90), size: int = 16) -> Texture:
    """One colour everywhere."""
    return Texture(rgb=np.full((size, size, 3), color, np.uint8), seen=np.full((size, size), 255, np.uint8))


def noise(seed: int, size: int = 64) -> Texture:
    """Random colours."""
    rng = np.random.default_rng(seed)
    return Texture(rgb=rng.integers(0, 256, (size, size, 3), dtype=np.uint8), seen=np.full((size, size), 255, np.uint8))


def undistorted(px: np.ndarray, camera: Camera) -> np.ndarray:
    """Newton's method, where the fast code iterates a fixed point."""
    target = (px - camera.K_px[:2, 2]) / np.diag(camera.K_px)[:2]
    point = target.copy()
    for _ in range(15):
        step = 1e-6
        value = distort(point, camera.distortion)
        jacobian = np.stack([(distort(point + step * e, camera.distortion) - value) / step for e in np.eye(2)], 1)
        point = point - np.linalg.solve(jacobian, value - target)
    return point


def slow_rasterize(mesh: Mesh, camera: Camera) -> Fragments:
    """The twin: every pixel against every triangle, by a 3x3 system, in double precision."""
    width, height = camera.size_wh
    corners = camera.cam_from_points(mesh.vertices_mm)[mesh.faces]
    face = np.full((height, width), -1)
    bary = np.zeros((height, width, 3))
    depth = np.full((height, width), np.inf)
    for y in range(height):
        for x in range(width):
            ray = np.append(undistorted(np.array([x, y], float), camera), 1.0)
            for number, (a, b, c) in enumerate(corners):
                matrix = np.stack([b - a, c - a, -ray], 1)
                if abs(np.linalg.det(matrix)) < 1e-12:
                    continue
                u, v, z = np.linalg.solve(matrix, -a)
                if u >= 0 and v >= 0 and u + v <= 1 and 0 < z < depth[y, x]:
                    face[y, x], bary[y, x], depth[y, x] = number, (1 - u - v, u, v), z
    return Fragments(face=face, bary=bary, depth_mm=depth)


def reprojection_errors_px(fragments: Fragments, mesh: Mesh, camera: Camera) -> np.ndarray:
    """Distance between every covered pixel's centre and the projection of what it claims to see."""
    y, x = np.nonzero(fragments.covered)
    corners = mesh.vertices_mm[mesh.faces[fragments.face[y, x]]]
    points = np.einsum("nk,nkc->nc", fragments.bary[y, x].astype(float), corners)
    return np.linalg.norm(camera.px_from_points(points) - np.stack([x, y], 1), axis=1)
