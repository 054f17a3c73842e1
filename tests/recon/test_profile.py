"""A painted head seen from the side: found again, the same mirrored and at half the size; nothing made of no face."""

import dataclasses
import functools

import cv2
import numpy as np
import pytest

from core.camera import Camera
from core.errors import InputRefused
from core.mesh import Mesh
from core.transforms import apply
from previsage.portrait import FilmedHead, portrait_head
from recon.contour import contour_of
from recon.detect import Detector
from recon.foreground import Foreground
from recon.models import load_model
from recon.one_photo import PhotoHead
from recon.profile import beyond, fit_profile
from render.rasterize import rasterize
from tests.recon.heads import camera_at

SIZE_WH = (600, 720)


@functools.cache
def filmed() -> FilmedHead:
    """The demo's head."""
    return portrait_head(side=1024)


@functools.cache
def tools() -> tuple[Detector, Foreground]:
    """Both networks."""
    return Detector(), Foreground()


def seen_from(yaw_deg: float, moved_mm: np.ndarray | float = 0.0) -> tuple[np.ndarray, Camera]:
    """The demo's head, its skin moved by (V,3), before a plain wall."""
    head, camera = filmed(), camera_at(yaw_deg, size_wh=SIZE_WH, focal_px=1100.0, distance_mm=700.0)
    drawn = rasterize(head.mesh.moved(np.zeros_like(head.mesh.vertices_mm) + moved_mm), camera)
    uv = drawn.interpolate(by_vertex(head.mesh), head.mesh.faces)
    size = np.array(head.texture.rgb.shape[1::-1])
    at = (uv[..., :2] * size - 0.5).astype(np.float32)
    colour = cv2.remap(head.texture.rgb, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    picture = np.where(drawn.covered[..., None], colour, np.uint8(190))
    return cv2.GaussianBlur(picture.astype(np.uint8), (0, 0), 0.7), camera


def by_vertex(mesh: Mesh) -> np.ndarray:
    """A texture coordinate for every vertex (V,2): one of its own, where a seam gives it several."""
    uv = np.zeros((len(mesh.vertices_mm), 2))
    uv[mesh.faces.ravel()] = mesh.uv[mesh.faces_uv.ravel()]
    return uv


def fitted(picture: np.ndarray) -> PhotoHead:
    """The head found in a picture."""
    return fit_profile(load_model(), picture, None, None, None, *tools(), rasterize)


@functools.cache
def from_the_side() -> PhotoHead:
    """Seen at 80 degrees."""
    return fitted(seen_from(80.0)[0])


def test_a_head_from_the_side_is_found() -> None:
    head, (_, camera) = from_the_side(), seen_from(80.0)
    yaw, pitch, roll = head.angles_deg
    assert abs(yaw - 80) < 14, "this head is the model's own, which is flatter than people"
    assert max(abs(pitch), abs(roll)) < 8
    assert beyond(head)
    true = camera.px_from_points(filmed().landmarks478_mm)
    near = head.visible > 0.3
    assert near.sum() > 60
    height = np.ptp(true[:468, 1])
    assert np.median(np.linalg.norm(head.face.points_px[near, :2] - true[near], axis=1)) < 0.05 * height
    depth = apply(camera.cam_from_head, filmed().landmarks478_mm[[33, 263]]).mean(0)[2]
    assert abs(head.px_per_mm * depth / camera.K_px[0, 0] - 1) < 0.12


def test_what_faces_away_is_not_trusted() -> None:
    head = from_the_side()
    assert (head.visible[[263, 362, 291, 454]] == 0).all(), "the left eye, corner of the mouth and cheek"
    assert head.visible[[33, 50]].min() > 0


def test_the_outline_lies_on_the_photo_s() -> None:
    head, (_, camera) = from_the_side(), seen_from(80.0)
    true, found = (rasterize(m, c).covered for m, c in ((filmed().mesh, camera), (head.mesh, head.camera)))
    tip, chin = (head.face.points_px[k, 1].round().astype(int) for k in (4, 152))
    height = np.ptp(head.face.points_px[:468, 1])
    rows = np.arange(tip - height // 6, chin - height // 20).astype(int)
    ahead = [np.array([np.flatnonzero(mask[row]).max() for row in rows]) for mask in (true, found)]
    assert np.median(np.abs(ahead[0] - ahead[1])) < 0.015 * height


def test_mirrored_it_looks_the_other_way() -> None:
    head, other = from_the_side(), fitted(np.ascontiguousarray(seen_from(80.0)[0][:, ::-1]))
    assert abs(head.angles_deg[0] + other.angles_deg[0]) < 6
    assert abs(head.angles_deg[1] - other.angles_deg[1]) < 4
    assert abs(np.log(head.px_per_mm / other.px_per_mm)) < 0.05


def test_turning_on_is_seen() -> None:
    assert fitted(seen_from(60.0)[0]).angles_deg[0] < from_the_side().angles_deg[0] - 5


def test_no_face_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    with pytest.raises(InputRefused) as refused:
        fitted(noise)
    assert refused.value.code == "profile_lost"


def test_a_face_without_a_background_is_refused() -> None:
    picture = seen_from(80.0)[0]
    detector, _ = tools()
    with pytest.raises(InputRefused) as refused:
        fit_profile(load_model(), picture, None, None, None, detector, lambda p: np.zeros(p.shape[:2], bool), rasterize)
    assert "background" in str(refused.value)


def test_a_box_beside_the_head_is_refused() -> None:
    picture, _ = seen_from(80.0)
    detector, _ = tools()
    box = detector.boxes(picture)[0]
    wrong = dataclasses.replace(box.moved(np.array([-150.0, 60.0])), side_px=box.side_px * 0.6)
    with pytest.raises(InputRefused):
        fit_profile(load_model(), picture, None, wrong, None, *tools(), rasterize)


def test_the_contour_is_found_to_a_pixel() -> None:
    y, x = np.mgrid[:200, :240]
    disc = np.hypot(x - 120.3, y - 99.6) < 60
    picture = np.where(disc[..., None], [200, 150, 130], [60, 70, 80]).astype(np.uint8)
    rough = np.hypot(x - 122, y - 98) < 61
    contour = contour_of(cv2.GaussianBlur(picture, (0, 0), 0.8), rough)
    assert contour is not None
    away = contour.px - [120.3, 99.6]
    assert np.abs(np.linalg.norm(away, axis=1) - 60).max() < 1.0
    assert ((away * contour.out).sum(1) > 0).all(), "normals leave the person"
    assert contour_of(picture, np.zeros((200, 240), bool)) is None
