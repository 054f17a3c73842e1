"""The embedded head's pins and regions: exact mirror images, where an anatomist would put them; and their making."""

import numpy as np
import pytest

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.surface import SurfacePoints
from recon.face478 import topology
from tools.head_model import eyes, mirror, norms, shape
from tools.head_model.surface import Sight, closest

OTHER = {"l": "r", "r": "l"}


@pytest.fixture(scope="module")
def partner(mesh):
    return mirror.vertex_partner(mesh.vertices_mm)


def other_side(name: str) -> str:
    return name[:-1] + OTHER[name[-1]] if name[-2:] in ("_l", "_r") else name


def crooked(mesh: Mesh, seed: int = 0) -> Mesh:
    """A head without symmetry: what is mirrored on it must be mirrored by its triangles, not by its shape."""
    return mesh.with_vertices(mesh.vertices_mm + np.random.default_rng(seed).normal(0, 0.5, mesh.vertices_mm.shape))


def pin_skew(anatomy: Anatomy, mesh: Mesh, partner: np.ndarray) -> float:
    """How far (mm) any pin on a crooked head lies from the mirror image of its twin on the head's mirror image."""
    head = crooked(mesh)
    image = head.with_vertices(mirror.reflected(head.vertices_mm, partner))
    twins = [anatomy.pin_names.index(other_side(n)) for n in anatomy.pin_names]
    gaps = [head.points(pins) - image.points(pins)[twin] * [-1, 1, 1]
            for pins, twin in ((anatomy.pins478, topology().mirror), (anatomy.pin_points, twins))]
    return float(np.abs(np.concatenate(gaps)).max())


def region_skew(anatomy: Anatomy, partner: np.ndarray) -> float:
    """The largest difference between a region and the mirror image of its other side."""
    return max(float(np.abs(anatomy.region(n) - anatomy.region(other_side(n))[partner]).max())
               for n in anatomy.region_names)


def changed(anatomy: Anatomy, **fields) -> Anatomy:
    """The anatomy with other fields."""
    names = ("pins478", "pin_names", "pin_points", "region_names", "region_weights")
    return Anatomy(**{**{n: getattr(anatomy, n) for n in names}, **fields})


def test_pins_are_mirror_images_by_their_triangles(model, mesh, partner):
    assert pin_skew(model.anatomy, mesh, partner) < 1e-6


def test_a_pin_that_is_off_shows(model, mesh, partner):
    """A midline pin moved to its neighbour 1 mm aside, and one of a pair moved within its triangle."""
    anatomy, points = model.anatomy, mesh.points(model.anatomy.pins478)
    for row, by in ((195, [1.0, 0, 0]), (263, [0, 0.3, 0])):
        moved = closest(mesh, points[[row]] + by)
        face, bary = anatomy.pins478.face.copy(), anatomy.pins478.bary.copy()
        face[row], bary[row] = moved.face[0], moved.bary[0]
        assert pin_skew(changed(anatomy, pins478=SurfacePoints(face=face, bary=bary)), mesh, partner) > 0.1


def test_midline_pins_lie_on_the_midline(model, mesh, pin):
    own = np.flatnonzero(topology().mirror == np.arange(478))
    assert {195, 197, 5, 4, 1, 0, 17, 152} <= set(own)
    assert np.abs(mesh.points(model.anatomy.pins478)[own, 0]).max() < 1e-9
    assert max(abs(p[0]) for name, p in pin.items() if other_side(name) == name) < 1e-9


def test_regions_are_mirror_images(model, partner):
    assert region_skew(model.anatomy, partner) == 0


def test_a_region_that_is_off_shows(model, partner):
    weights = model.anatomy.region_weights.copy()
    nose = weights[model.anatomy.region_names.index("nose")]
    nose[np.flatnonzero(partner != np.arange(len(partner)))[0]] += 0.02
    assert region_skew(changed(model.anatomy, region_weights=weights), partner) > 0.01


def test_the_wings_of_the_nose_are_as_far_apart_as_published(pin):
    width = np.linalg.norm(pin["al_l"] - pin["al_r"])
    assert width == pytest.approx(norms.NORMS_MM["al_l", "al_r"], abs=1.0)


def facing_sideways(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """Sideways part of the surface's normal nearest to points of the left side."""
    return closest(mesh, points).on(mesh.vertex_normals(), mesh.faces)[:, 0]


def test_alare_is_on_the_wall_and_the_crease_behind_it(mesh, pin):
    al, ac = pin["al_l"], pin["ac_l"]
    assert facing_sideways(mesh, al[None])[0] > 0.85
    assert 1.5 < al[2] - ac[2] < 6 and 0 < ac[0] - al[0] < 2.5 and abs(al[1] - ac[1]) < 0.5
    assert pin["sn"][1] < al[1] < pin["prn"][1]
    beyond = Sight(mesh).front([ac[0] + 4], [ac[1]])[0][0]
    assert (ac[2] - beyond[2]) / 4 < 0.4 * (al[2] - ac[2]) / (ac[0] - al[0])  # the cheek runs sideways, the wall back


def test_the_cheek_beside_the_nose_is_no_wall(mesh, pin):
    """Where the old pins lay, 4 mm beside the wing, nothing faces sideways."""
    assert facing_sideways(mesh, pin["al_l"][None] + [4, 0, -4])[0] < 0.75


def test_landmarks_lie_in_the_order_of_a_face(pin):
    assert pin["ac_l"][1] > pin["sbal_l"][1] > pin["ls"][1] and 0.7 < pin["sbal_l"][0] / pin["al_l"][0] < 1
    assert pin["ps_l"][1] > pin["p_l"][1] > pin["pi_l"][1] and 7 < pin["ps_l"][1] - pin["pi_l"][1] < 12
    assert pin["t_l"][1] > pin["go_l"][1] > pin["me"][1] and pin["t_l"][2] < pin["go_l"][2] < pin["ch_l"][2]
    assert 28 <= pin["zy_l"][2] - pin["t_l"][2] + 1e-6 and pin["zy_l"][0] > pin["go_l"][0] > pin["ch_l"][0]
    assert 65 < pin["ex_l"][2] - pin["t_l"][2] < 90
    assert pin["prn"][2] > pin["c"][2] > pin["sn"][2] and pin["sto"][2] < min(pin["ls"][2], pin["li"][2])


def test_irises_are_on_eyeballs_and_all_else_is_on_skin(model, mesh):
    eyeball = np.max([model.anatomy.region(f"eye_{s}") for s in "lr"], 0)[mesh.faces].min(1) > 0.5
    assert eyeball[model.anatomy.pins478.face[468:]].all() and not eyeball[model.anatomy.pins478.face[:468]].any()
    on = {n for n, f in zip(model.anatomy.pin_names, model.anatomy.pin_points.face, strict=True) if eyeball[f]}
    assert on == {"p_l", "p_r"}


def test_the_frame_is_level_and_its_origin_between_the_eyes(pin):
    assert pin["t_l"][1] == pytest.approx(pin["or_l"][1], abs=0.2)
    assert np.allclose(pin["ex_l"] * [0, 1, 1], 0, atol=0.1)


def ball() -> tuple[Mesh, np.ndarray]:
    """A sphere of 50 mm and its vertices' mirror images."""
    points, faces = eyes.sphere()
    mesh = Mesh(vertices_mm=50 * points, faces=faces, uv=points[:, :2], faces_uv=faces)
    return mesh, mirror.vertex_partner(mesh.vertices_mm)


def test_even_points_mirror_each_other_and_lie_near_what_was_asked():
    mesh, partner = ball()
    asked = np.random.default_rng(7).normal(size=(9, 3))
    asked *= 50 / np.linalg.norm(asked, axis=1, keepdims=True)
    asked[:4, 0], asked[:4, 2] = np.abs(asked[:4, 0]), 20
    asked[4:8] = asked[:4] * [-1, 1, 1] + np.random.default_rng(8).normal(0, 0.2, (4, 3))
    asked[8, 0] = 0.8
    got = mirror.even_points(mesh, partner, asked, np.array([4, 5, 6, 7, 0, 1, 2, 3, 8]))
    at = mesh.points(got)
    assert np.allclose(at[:4] * [-1, 1, 1], at[4:8], atol=1e-9) and abs(at[8, 0]) < 1e-9
    flat = np.linalg.norm(mesh.points(closest(mesh, asked)) - asked, axis=1)
    assert (np.linalg.norm(at - asked, axis=1) < flat + 1.0).all()
    image = mesh.with_vertices(mirror.reflected(crooked(mesh).vertices_mm, partner))
    assert np.allclose(crooked(mesh).points(got)[:4] * [-1, 1, 1], image.points(got)[4:8])


def test_a_head_without_symmetry_has_no_partners():
    mesh, _ = ball()
    with pytest.raises(ValueError, match="not symmetric"):
        mirror.vertex_partner(mesh.vertices_mm + [1.0, 0, 0])


def test_evening_a_head_and_its_regions():
    mesh, partner = ball()
    even = mirror.evened(crooked(mesh).vertices_mm, partner)
    assert np.array_equal(mirror.reflected(even, partner), even)
    weights = np.random.default_rng(9).uniform(0, 1, (3, len(partner)))
    nose, left, right = mirror.evened_weights(("nose", "ear_l", "ear_r"), weights, partner)
    assert np.array_equal(nose, nose[partner]) and np.array_equal(left, right[partner])
    assert np.allclose(left, (weights[1] + weights[2][partner]) / 2)


def trough(profile_x: np.ndarray, profile_z: np.ndarray) -> Mesh:
    """A surface that has the same outline (x, z) at every height, mirrored to the other side."""
    x = np.concatenate([-profile_x[:0:-1], profile_x])
    z = np.concatenate([profile_z[:0:-1], profile_z])
    count, heights = len(x), np.array([-60.0, 60])
    points = np.array([[a, h, b] for h in heights for a, b in zip(x, z, strict=True)])
    lower = np.arange(count - 1)
    faces = np.concatenate([np.stack([lower, lower + 1, lower + 1 + count], 1),
                            np.stack([lower, lower + 1 + count, lower + count], 1)])
    return Mesh(vertices_mm=points, faces=faces, uv=points[:, :2], faces_uv=faces)


@pytest.mark.parametrize(("overhang", "al_x", "crease_x"), [(0.0, 17.0, 17.0), (2.0, 17.0, 15.0)])
def test_the_wing_ends_at_its_crease(overhang, al_x, crease_x):
    """A wall that stands straight, or bulges out over its crease; behind it a cheek that runs sideways."""
    around = np.radians(np.linspace(0, 90, 30))
    front = np.stack([17 * np.sin(around), 22 + 20 * np.cos(around)], 1)
    wall = np.array([[17.0, 20], [17 - overhang / 4, 18], [17 - overhang, 15]])
    outline = np.concatenate([front, wall, [[34.0, 9]]])
    al, ac, sideways = shape.wing_and_crease(Sight(trough(*outline.T)), 0.0, 42.0)
    assert al[0] == pytest.approx(al_x, abs=0.4) and 15 < al[2] < 24 and sideways > 0.97
    assert ac[0] == pytest.approx(crease_x, abs=0.6) and ac[2] == pytest.approx(15, abs=0.6)


def test_a_corner_with_two_edges_is_found_midway():
    y = np.arange(20, -20, -0.25)
    z = np.where(y > 2, 10 + y - 2, np.where(y > -2, 10.0, 10 - (y + 2)))
    assert y[shape.corner(y, z, np.arange(len(y)))] == pytest.approx(0, abs=0.3)


def test_the_underside_begins_where_the_profile_runs_back():
    y = np.arange(20, -20, -0.25)
    z = np.where(y > 0, 5.0, 5 + 4 * y)
    assert y[shape.underside(y, z)] == pytest.approx(0, abs=1.0)
