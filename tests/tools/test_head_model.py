"""The parts of the head model's making that need no Anny: eyeballs, texture layout, norms, profile, graph."""

import numpy as np
import pytest

from core.mesh import Mesh
from core.surface import SurfacePoints
from recon.models import load_model
from tools.head_model import eyes, norms
from tools.head_model.paint import Studio, camera_about, iris_colors
from tools.head_model.pins import inside_loop
from tools.head_model.sample import components
from tools.head_model.shape import depth_below_chord
from tools.head_model.surface import Sight, closest
from tools.head_model.unwrap import equal_area_disc, face_weight, to_box


def area(uv: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Signed areas of flat triangles."""
    a, b = uv[faces[:, 1]] - uv[faces[:, 0]], uv[faces[:, 2]] - uv[faces[:, 0]]
    return (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2


def test_the_eyeball_is_a_closed_sphere_that_faces_outward():
    points, faces = eyes.sphere()
    assert np.allclose(np.linalg.norm(points, axis=1), 1)
    assert np.allclose(points[0], [0, 0, 1]) and np.allclose(points[-1], [0, 0, -1])
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges)  # every edge once in each direction: closed and consistent
    assert {tuple(e) for e in edges} == {tuple(e[::-1]) for e in edges}
    assert len(points) - len(edges) // 2 + len(faces) == 2  # Euler
    a, b, c = points[faces].transpose(1, 0, 2)
    volume = np.einsum("ni,ni->n", a, np.cross(b, c)) / 6
    assert (volume > 0).all()
    assert volume.sum() == pytest.approx(4 / 3 * np.pi, rel=0.03)


def test_the_eyeballs_rings_are_finer_about_the_pupil():
    points, _ = eyes.sphere()
    rings = np.unique(np.round(np.arccos(points[:, 2]), 6))
    assert np.diff(rings)[1] < 0.5 * np.diff(rings)[-2]


def test_only_the_far_cap_leaves_the_texture_disc():
    points, faces = eyes.sphere()
    flat, far = eyes.disc_faces(faces), len(points) - 1
    changed = (flat != faces).any(1)
    assert changed.sum() == eyes.SECTORS and (flat[changed] == far).all()
    assert (faces[changed] == far).any(1).all()


def test_a_globe_is_fitted_to_a_part_of_a_sphere():
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(2, 60, 3)) + [0, 0, 2.0]
    direction /= np.linalg.norm(direction, axis=2, keepdims=True)
    centre, radius = np.array([[1.0, -2, 3], [30, 4, -9]]), np.array([11.0, 12.5])
    found = eyes.globe(centre[:, None] + radius[:, None, None] * direction)
    assert np.allclose(found[0], centre) and np.allclose(found[1], radius)


def test_clean_eyes_come_after_the_skin_where_the_old_ones_were():
    rng, (points, _) = np.random.default_rng(1), eyes.sphere()
    skin, left, right = np.arange(5), np.arange(5, 45), np.arange(45, 85)
    ball = rng.normal(size=(40, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    head = np.concatenate([rng.normal(size=(5, 3)), 12 * ball + [30, 0, 0], 11 * ball - [30, 0, 0]])[None]
    out = eyes.with_clean_eyes(head, skin, left, right)
    assert out.shape == (1, 5 + 2 * len(points), 3)
    assert np.array_equal(out[0, :5], head[0, :5])
    assert np.allclose(out[0, 5], [30, 0, 12]) and np.allclose(out[0, 5 + len(points)], [-30, 0, 11])


def all_points(seed: int) -> dict[str | int, np.ndarray]:
    """Every point that a measure asks for, at random."""
    names = [*dict.fromkeys([n for pair in norms.NORMS_MM for n in pair] + ["g", "pg", "or_l", "t_l", "ex_l", "ex_r"]
                            + list(norms.DEPTH_MM))]
    return dict(zip(names, np.random.default_rng(seed).normal(0, 40, (len(names), 3)), strict=True))


def nodded(points: dict, angle: float) -> dict:
    """The same points with the head nodded about x."""
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    return {name: turn @ p for name, p in points.items()}


def test_depths_are_before_the_outer_eye_corners_however_the_head_nods():
    """Points at just the published depths, from which the best nod is none; a nodded and moved head has the same."""
    points = all_points(2) | {"ex_l": np.array([45.0, 0, 0]), "ex_r": np.array([-45.0, 0, 0])}
    points |= {name: np.array([0, 3.0 * k - 40, depth]) for k, (name, depth) in enumerate(norms.DEPTH_MM.items())}
    wanted = list(norms.DEPTH_MM.values())
    assert np.allclose(norms.depths(points), wanted)
    assert np.allclose(norms.depths({k: p + [5, -7, 100] for k, p in nodded(points, 0.15).items()}), wanted)
    assert not np.allclose(norms.depths(points | {4: points[4] + [0, 0, 3]}), wanted, atol=1)


def test_measures_are_distances_the_angle_of_convexity_and_the_meridian():
    points = all_points(3) | {"g": np.array([0, 10.0, 0]), "sn": np.zeros(3), "pg": np.array([10.0, 0, 0])}
    points |= {"or_l": np.array([30.0, 2, 50]), "t_l": np.array([70.0, 2, -30]), "n": np.array([0, 60.0, 4])}
    got = norms.measures(points)
    assert len(got) == len(norms.NORMS_MM) + 2 and got[-2] == pytest.approx(90) and got[-1] == pytest.approx(-4)
    first = next(iter(norms.NORMS_MM))
    assert got[0] == pytest.approx(np.linalg.norm(points[first[0]] - points[first[1]]))
    assert np.allclose(norms.measures(nodded(points, 0.3)), got)


def test_every_measure_has_a_target_a_tolerance_and_a_row():
    target, sd = norms.targets()
    count = len(norms.NORMS_MM) + 2 + len(norms.DEPTH_MM)
    points = all_points(5)
    got = norms.measured([n for n in points if isinstance(n, str)],
                         np.stack([p for n, p in points.items() if isinstance(n, str)]),
                         np.random.default_rng(6).normal(0, 40, (478, 3)))
    assert target.shape == sd.shape == got.shape == (count,) and (sd > 0).all()
    rows = norms.table(got, got + 1)
    assert len(rows) == count
    assert np.allclose(list(rows.values()), np.stack([got, got + 1, target], 1), atol=0.06)


def test_centring_moves_an_odd_head_towards_the_norms():
    """The embedded head made 15 % too large and odd: its measures come back."""
    model = load_model()
    basis, anatomy = model.identity_basis_mm[:40].astype(float), model.anatomy
    odd = model.mean_mesh().with_vertices(
        1.15 * (model.template_mm + np.tensordot(np.random.default_rng(4).normal(0, 1.2, 40), basis, 1)))
    coefficients, size = norms.centred(odd, basis, anatomy.pin_names, anatomy.pin_points, anatomy.pins478)
    moved = odd.with_vertices((odd.vertices_mm + np.tensordot(coefficients, basis, 1)) * size)
    target, sd = norms.targets()
    off = []
    for mesh in (odd, moved):
        got = norms.measured(anatomy.pin_names, mesh.points(anatomy.pin_points), mesh.points(anatomy.pins478))
        off.append(np.sqrt((((got - target) / sd) ** 2).mean()))
    assert off[0] > 3 and off[1] < 0.5 * off[0]
    assert 0.7 < size < 0.95 and np.abs(coefficients).max() < 4


def disc_mesh(rings: int = 24, sectors: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A flat disc of unequal triangles: points and faces."""
    radius, angle = (np.arange(1, rings + 1) / rings) ** 1.5, np.arange(sectors) * 2 * np.pi / sectors
    points = [[0, 0], *[[r * np.cos(a), r * np.sin(a)] for r in radius for a in angle]]
    faces = [[0, 1 + s, 1 + (s + 1) % sectors] for s in range(sectors)]
    for r in range(rings - 1):
        for s in range(sectors):
            a, b = 1 + r * sectors + s, 1 + r * sectors + (s + 1) % sectors
            faces += [[a, a + sectors, b + sectors], [a, b + sectors, b]]
    return np.array(points), np.array(faces)


@pytest.mark.parametrize("heavy", [1.0, 6.0])
def test_the_disc_gives_equal_skin_equal_texture(heavy):
    """Weights that grow towards the middle: each triangle's share of the disc becomes its share of the weight."""
    uv, faces = disc_mesh()
    skin = area(uv, faces) * np.where(np.linalg.norm(uv[faces].mean(1), axis=1) < 0.5, heavy, 1)
    angle, radius = equal_area_disc(uv, faces, skin, np.zeros(2))
    assert radius.min() >= 0 and 0.9 < radius.max() <= 1
    laid = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
    got = area(laid, faces)
    assert (got > 0).all()  # one-to-one, none turned over
    rings = np.digitize(np.linalg.norm(uv[faces].mean(1), axis=1), [0.3, 0.5, 0.7, 0.9])
    share = [np.bincount(rings, x)[:4] / x.sum() for x in (skin, got)]
    assert np.allclose(share[0], share[1], atol=0.04)


def test_the_disc_keeps_directions():
    uv, faces = disc_mesh(8, 24)
    angle, _ = equal_area_disc(uv + [3, 4], faces, area(uv, faces), np.array([3.0, 4]))
    assert np.allclose(np.cos(angle[1:]), uv[1:, 0] / np.linalg.norm(uv[1:], axis=1))
    assert np.allclose(np.sin(angle[1:]), uv[1:, 1] / np.linalg.norm(uv[1:], axis=1))


def test_the_face_outweighs_the_scalp():
    tip = np.array([0, -40, 42.0])
    weight = face_weight(np.array([[0, -30, 30.0], [50, 0, 0], [0, 60, -150]]), tip)
    assert weight[0] > weight[1] > weight[2] > 0 and weight[0] > 0.95


def test_to_box_fills_the_box():
    out = to_box(np.random.default_rng(5).normal(size=(50, 2)), np.array([0.1, 0.2]), np.array([0.4, 0.9]))
    assert np.allclose(out.min(0), [0.1, 0.2]) and np.allclose(out.max(0), [0.4, 0.9])


def test_components_are_labelled_by_size():
    faces = np.array([[0, 1, 2], [5, 6, 7], [6, 7, 8], [3, 4, 9]])
    assert components(faces, 10).tolist() == [1, 1, 1, 2, 2, 0, 0, 0, 0, 2] or (
        components(faces, 10).tolist() == [2, 2, 2, 1, 1, 0, 0, 0, 0, 1])


def test_the_profile_is_the_foremost_surface_on_the_midline():
    points, faces = eyes.sphere()
    ball = Mesh(vertices_mm=60 * points, faces=faces, uv=points[:, :2], faces_uv=faces)
    y, z = Sight(ball).profile(50, -50)
    assert np.allclose(np.hypot(y, z), 60, atol=1.0) and (z > 0).all() and (np.diff(y) < 0).all()
    assert len(Sight(ball).profile(80, 70)[0]) == 0


def test_depth_below_a_chord():
    y = np.linspace(10, -10, 41)
    deepest = np.argmax(depth_below_chord(y, 0.05 * (y - 2) ** 2))
    assert y[deepest] == pytest.approx(0, abs=0.51)  # the parabola is deepest below its chord half way


def test_closest_points_are_the_points_themselves_on_the_surface():
    points, faces = eyes.sphere()
    ball = Mesh(vertices_mm=12 * points, faces=faces, uv=points[:, :2], faces_uv=faces)
    rng = np.random.default_rng(6)
    pins = SurfacePoints(face=rng.integers(0, len(faces), 30), bary=rng.dirichlet((1, 1, 1), 30))
    assert np.allclose(ball.points(closest(ball, ball.points(pins))), ball.points(pins), atol=1e-4)


def test_inside_a_loop_is_positive_and_measures_the_distance():
    square = np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
    got = inside_loop(np.array([[0.5, 0.5], [0.25, 0.5], [0.1, 0.5]]), square)
    assert np.allclose(got, [0.3, 0.05, -0.1], atol=0.002)


def test_the_studio_casts_a_picture_back_to_the_surface():
    points, faces = eyes.sphere()
    studio = Studio(70 * points, faces, iris_colors(points, 0.4), points)
    K, cam = camera_about(0.1, -0.1, 120, centre_mm=(0, 0, 0))
    picture = studio.picture(K, cam, 120, np.array([0, 0, 1.0]))
    assert picture.shape == (120, 120, 3) and (picture[0, 0] == 150).all()
    face, bary = studio.surface_under(np.array([[60.0, 60], [0, 0]]), K, cam)
    assert face[0] >= 0 and face[1] == -1
    point = np.einsum("k,kc->c", bary[0], 70 * points[faces[face[0]]])
    seen = K @ (cam[:3, :3] @ point + cam[:3, 3])
    assert np.allclose(seen[:2] / seen[2], [60, 60], atol=0.05)
