"""The outline of a turned nose: drawn to where a picture shows it, left where it does not, and nothing but the nose."""

import cv2
import numpy as np
import pytest

from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Fragments
from core.mesh import Mesh
from recon.models import load_model
from recon.nose_outline import OPTIONS, outline_of, with_nose_outline
from render.rasterize import Rasterizer

SIZE = (420, 420)


def rasterize(mesh: Mesh, camera: Camera) -> Fragments:
    return Rasterizer(mesh)(camera)


def head() -> tuple[Mesh, Anatomy]:
    model = load_model()
    mesh = model.shape(np.zeros(len(model.identity_basis_mm))).pose(np.zeros(len(model.expression_names))).mesh()
    return mesh, model.anatomy


def camera(yaw_deg: float, px_per_mm: float = 2.5) -> Camera:
    a = np.radians(yaw_deg)
    pose = np.diag([1.0, -1, -1, 1])
    pose[:3, :3] = pose[:3, :3] @ [[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]
    pose[2, 3] = 600
    f = 600 * px_per_mm
    K = np.array([[f, 0, SIZE[0] / 2], [0, f, SIZE[1] / 2], [0, 0, 1]])
    return Camera(K_px=K, cam_from_head=pose, size_wh=SIZE)


def with_nose(mesh: Mesh, anatomy: Anatomy, seen_by: Camera, out_mm: float) -> Mesh:
    """The same head whose nose's tip and back reach so much farther to the far side in the picture."""
    side = np.sign(seen_by.head_angles_rad[0])
    tip, root = (mesh.points(anatomy.pin(n))[0] for n in ("prn", "se"))
    along = np.clip(((mesh.vertices_mm - root) @ (tip - root)) / ((tip - root) @ (tip - root)), 0, 1)
    away = np.linalg.norm(mesh.vertices_mm - root - along[:, None] * (tip - root), axis=1)
    share = along * np.exp(-(away / 14) ** 2)
    return mesh.moved(share[:, None] * side * out_mm * seen_by.cam_from_head[0, :3])


def photo(mesh: Mesh, seen_by: Camera, cheek: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    """The head lit from beside the camera before a bright wall, and who is seen."""
    drawn = rasterize(mesh, seen_by)
    normal = drawn.interpolate(mesh.vertex_normals(), mesh.faces) @ seen_by.cam_from_head[:3, :3].T
    side = np.sign(seen_by.head_angles_rad[0])
    light = np.clip(normal @ np.array([-0.15 * side, -0.2, -0.97]), 0, 1) * (1 - cheek) + cheek
    grey = np.where(drawn.covered, 170 * light, 225) + np.random.default_rng(0).normal(0, 1.5, SIZE[::-1])
    picture = np.clip(grey[..., None] * [1, 0.82, 0.72], 0, 255).astype(np.uint8)
    return cv2.GaussianBlur(picture, (0, 0), 0.7), drawn.covered


def reach_mm(mesh: Mesh, anatomy: Anatomy, seen_by: Camera) -> float:
    """How far the outline reaches to the far side."""
    side = int(np.sign(seen_by.head_angles_rad[0]))
    outline = outline_of(mesh, anatomy, seen_by, rasterize, side)
    assert outline is not None
    return float((side * outline.px[:, 0]).max() / outline.px_per_mm)


@pytest.mark.parametrize("yaw_deg", [28, -36])
@pytest.mark.parametrize("out_mm", [-6.0, 6.0])
def test_the_nose_ends_where_the_picture_shows_it(yaw_deg: float, out_mm: float) -> None:
    mesh, anatomy = head()
    seen_by = camera(yaw_deg)
    true = with_nose(mesh, anatomy, seen_by, out_mm)
    found = with_nose_outline(mesh, anatomy, seen_by, *photo(true, seen_by), rasterize)
    wanted, before, after = (reach_mm(m, anatomy, seen_by) for m in (true, mesh, found))
    assert abs(wanted - before) > 1.0
    assert abs(wanted - after) < 0.5 * abs(wanted - before)
    moved = np.linalg.norm(found.vertices_mm - mesh.vertices_mm, axis=1)
    nose = mesh.vertices_mm[anatomy.region("nose") > 0.5]
    far = np.linalg.norm(mesh.vertices_mm[moved > 0][:, None] - nose[None], axis=2).min(1)
    assert far.max() < OPTIONS.beside_mm


def test_it_does_not_fold() -> None:
    mesh, anatomy = head()
    seen_by = camera(34)
    found = with_nose_outline(mesh, anatomy, seen_by, *photo(with_nose(mesh, anatomy, seen_by, 5), seen_by), rasterize)
    assert not np.array_equal(found.vertices_mm, mesh.vertices_mm)
    first, second = (np.cross(*(v[mesh.faces[:, k]] - v[mesh.faces[:, 0]] for k in (1, 2)))
                     for v in (mesh.vertices_mm, found.vertices_mm))
    assert ((first * second).sum(1) > 0).all()


@pytest.mark.parametrize("yaw_deg", [0, 10, 70])
def test_from_the_front_and_the_side_it_stays(yaw_deg: float) -> None:
    mesh, anatomy = head()
    seen_by = camera(yaw_deg)
    assert with_nose_outline(mesh, anatomy, seen_by, *photo(mesh, seen_by), rasterize) is mesh


def test_where_nothing_is_seen_or_the_face_is_small_it_stays() -> None:
    mesh, anatomy = head()
    flat = np.full((*SIZE[::-1], 3), 150, np.uint8)
    assert with_nose_outline(mesh, anatomy, camera(34), flat, np.ones(SIZE[::-1], bool), rasterize) is mesh
    small = camera(34, 0.8)
    assert with_nose_outline(mesh, anatomy, small, *photo(mesh, small), rasterize) is mesh
