"""The whole catalogue on the embedded head: mean and random identities, every step at its limits, all presets, and all
procedures in one plan; the laws that hold for any procedure, also one that a person adds."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from benchmarks.procedures import plans_of
from core import Mesh
from core.store import load_reconstruction
from core.transforms import head_rotation, umeyama
from deform3d import catalogue, field_of, predict, read_plan
from deform3d.field import DEFAULT
from deform3d.globe import Globes
from deform3d.ground import LARGEST_MM
from deform3d.handles import handle_points
from deform3d.volume import spoiled, swept_mm3
from tests.deform3d.builders import mirrored, remeshed

NAMES = sorted(catalogue())
PROCEDURE = pytest.mark.parametrize("name", NAMES)
LANDED_MM = 0.1


def head_of(model, seed) -> Mesh:
    """The mean head, or a random identity with every mode at about its standard deviation."""
    coefficients = np.zeros(len(model.identity_basis_mm))
    if seed is not None:
        coefficients = np.random.default_rng(seed).normal(size=len(coefficients))
    return model.shape(coefficients).pose(np.zeros(len(model.expression_names))).mesh()


def at_full(name, **more):
    return read_plan({"procedures": [{"procedure": name, "intensity": 100}], **more})


def length(u):
    return np.linalg.norm(u, axis=1)


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
@pytest.mark.parametrize("place", ["rim", "ala"])
def test_the_ala_turns_about_its_crease_with_the_tip(model, seed, place):
    """By the tip's angle and its own arm, to an eighth of the tip's way; a wing that stays behind hangs like a ball."""
    mesh, nose = head_of(model, seed), catalogue()["rhinoplasty"]
    plan = read_plan({"procedures": [{"procedure": "rhinoplasty", "values": {"tip_rotation_deg": 8}}]})
    went = {item.pin: item.asked_mm for item in predict(mesh, model.anatomy, plan, catalogue()).landed}
    pins, points = handle_points(mesh, model.anatomy, nose)
    at = dict(zip(pins, points.on(mesh.vertices_mm, mesh.faces), strict=True))
    tip = np.linalg.norm(went["prn"])
    for side in "lr":
        pin = f"{place}_{side}"
        ahead, up = (at[pin] - mesh.points(model.anatomy.pin(f"ac_{side}"))[0])[[2, 1]]
        turned = np.radians(8) * np.array([0, ahead, -up])
        assert abs((went[pin] - turned) @ went["prn"]) < tip**2 / 8


@PROCEDURE
@pytest.mark.parametrize("seed", [None, 0])
def test_every_step_at_its_limits_on_random_heads(model, seed, name):
    mesh, procedure = head_of(model, seed), catalogue()[name]
    immobile = np.max([model.anatomy.region(r) for r in procedure.immobile], axis=0) >= 0.05
    outside = np.max([model.anatomy.region(r) for r in (*procedure.regions, *procedure.follows)], axis=0) < 0.05
    assert immobile.sum() > 100 and outside.sum() > 50
    for plan in plans_of(procedure):
        prediction, what = predict(mesh, model.anatomy, plan, catalogue()), plan.procedures[0].values
        total = prediction.total_mm()
        assert max((item.error_mm for item in prediction.landed), default=0) < LANDED_MM, what
        assert not total[immobile | outside].any(), what
        assert [int(bad.sum()) for bad in spoiled(mesh, total)] == [0, 0], what
        asked = sum(max((np.linalg.norm(item.asked_mm) for item in prediction.landed if item.step == step), default=0)
                    for step in {i.step.removesuffix(".left").removesuffix(".right") + suffix for i in prediction.landed
                                 for suffix in ("", ".left")})
        if procedure.lids_slide:  # the globe stops a handle that lies nearest to it
            asked = max(asked, *map(abs, prediction.step_values))
        assert length(total).max() < 1.3 * asked + 0.05, what
        for band in ("low", "high"):
            assert np.isfinite(prediction.total_mm(band)).all()


@pytest.mark.parametrize("seed", range(12))
def test_a_lower_lid_lands_also_where_its_triangles_rest_on_the_globe(model, seed):
    made = predict(head_of(model, seed), model.anatomy, at_full("blepharoplasty_lower"), catalogue())
    assert max(item.error_mm for item in made.landed) < LANDED_MM
    largest = max(np.linalg.norm(item.asked_mm) for item in made.landed)
    assert np.linalg.norm(made.displacement_mm, axis=2).max() < 1.5 * largest


@pytest.mark.parametrize("seed", [None, 0])
def test_a_whole_face_at_once_spoils_nothing(model, seed):
    """Everything that may be done in one sitting, at full intensity."""
    mesh = head_of(model, seed)
    plan = read_plan({"procedures": [{"procedure": n, "intensity": 100.0} for n in NAMES if n not in (
        "orthognathic_mandible", "orthognathic_maxilla")]})
    prediction = predict(mesh, model.anatomy, plan, catalogue())
    assert [int(bad.sum()) for bad in spoiled(mesh, prediction.total_mm())] == [0, 0]
    for eye in ("eye_l", "eye_r"):
        assert not prediction.total_mm()[model.anatomy.region(eye) >= 0.05].any()


@PROCEDURE
def test_a_mirrored_head_gives_the_mirrored_result(model, name):
    mesh = head_of(model, 2)
    here = predict(mesh, model.anatomy, at_full(name), catalogue()).total_mm()
    there = predict(*mirrored(mesh, model.anatomy), at_full(name), catalogue()).total_mm()
    assert length(here).max() > 0.3
    np.testing.assert_allclose(there * [-1, 1, 1], here, atol=1e-3)


@PROCEDURE
def test_a_symmetric_head_changes_symmetrically(model, mesh, name):
    total = predict(mesh, model.anatomy, at_full(name), catalogue()).total_mm()
    gap, there = cKDTree(mesh.vertices_mm).query(mesh.vertices_mm * [-1, 1, 1])
    assert gap.max() < 1e-6
    np.testing.assert_allclose(total[there] * [-1, 1, 1], total, atol=0.02)


def test_a_pure_translation_adds_as_much_on_the_left_as_on_the_right(model, mesh):
    made = predict(mesh, model.anatomy, read_plan({"procedures": [
        {"procedure": "mentoplasty", "values": {"advancement_mm": 6}}]}), catalogue())
    swept, x = swept_mm3(mesh, made.total_mm()), mesh.vertices_mm[mesh.faces].mean(1)[:, 0]
    left, right = swept[x > 0].sum(), swept[x < 0].sum()
    assert left > 300 and abs(left - right) < 0.01 * left


@PROCEDURE
def test_linear_steps_are_linear_and_zero_is_zero(model, mesh, name):
    procedure = catalogue()[name]
    zero = predict(mesh, model.anatomy, read_plan({"procedures": [{"procedure": name, "intensity": 0}]}), catalogue())
    assert not zero.displacement_mm.any() and not zero.landed and zero.volume_added_ml == zero.volume_removed_ml == 0
    for step in procedure.steps:
        if step.unit == "deg" or procedure.lids_slide or step.side_required:
            continue
        whole, part = (predict(mesh, model.anatomy, read_plan({"procedures": [
            {"procedure": name, "values": {step.name: v}}]}), catalogue()).total_mm()
            for v in (step.maximum, 0.3 * step.maximum))
        np.testing.assert_allclose(part, 0.3 * whole, atol=1e-6)


@PROCEDURE
def test_more_is_more(model, mesh, name):
    """Monotone: no landmark turns back as the intensity rises."""
    steps = [np.stack([i.landed_mm for i in predict(mesh, model.anatomy, read_plan({"procedures": [
        {"procedure": name, "intensity": k}]}), catalogue()).landed]) for k in (25, 50, 75, 100)]
    for less, more in zip(steps, steps[1:], strict=False):
        assert (np.linalg.norm(more, axis=1) > np.linalg.norm(less, axis=1) - 1e-9).all()


@pytest.mark.parametrize("share", [0.32, 0.35])
def test_more_than_a_third_of_the_philtrum_is_told_on_every_head(model, share):
    for seed in (None, 0, 1):
        mesh = head_of(model, seed)
        sn, ls = (mesh.points(model.anatomy.pin(pin))[0] for pin in ("sn", "ls"))
        taken = share * float(np.linalg.norm(sn - ls))
        made = predict(mesh, model.anatomy, read_plan({"procedures": [
            {"procedure": "lip_lift", "values": {"excision_mm": taken}}], "overrides": [
                {"what": "lip_lift.excision_mm", "reason": "a philtrum above the mean"}]}), catalogue())
        assert any("from sn to ls" in told for told in made.warnings) == (share > 0.33), made.warnings


@PROCEDURE
def test_beyond_the_reach_of_its_handles_nothing_moves(model, mesh, name):
    """Compact support: further than this from every moved handle, straight, a field is exactly zero."""
    procedure, field = catalogue()[name], field_of(mesh, model.anatomy, catalogue()[name])
    moved = [row for row, pin in enumerate(field.pins) if pin in procedure.moved_pins()]
    away = cKDTree(mesh.points(field.points)[moved]).query(mesh.vertices_mm)[0]
    support = (DEFAULT.support_per_falloff + DEFAULT.setback_per_falloff) * procedure.falloff_mm + LARGEST_MM
    assert field.cardinal[away < support / 3].any() and not field.cardinal[away > support].any()


@PROCEDURE
def test_finer_triangles_give_the_same_result(model, mesh, name):
    """The same surface with four times the triangles, on triangles up to 20 mm long."""
    plan = at_full(name)
    coarse = predict(mesh, model.anatomy, plan, catalogue()).total_mm()
    fine = predict(*remeshed(mesh, model.anatomy), plan, catalogue()).total_mm()[:len(coarse)]
    np.testing.assert_allclose(fine, coarse, atol=1e-6)


def test_hardly_more_differs_when_the_new_vertices_carry_shape(made_case):
    """On a reconstructed head's triangles the field is known that well. (The model's own are too large to hold one:
    handles 5 mm apart share triangles.)"""
    head = load_reconstruction(made_case / "recon")
    plan, count = at_full("rhinoplasty"), len(head.mesh.vertices_mm)
    fine, anatomy = remeshed(head.mesh, head.anatomy)
    off = np.random.default_rng(0).uniform(-0.01, 0.01, len(fine.vertices_mm))
    off[:count] = 0
    fine = fine.moved(off[:, None] * fine.vertex_normals())
    coarse = predict(head.mesh, head.anatomy, plan, catalogue()).total_mm()
    away = length(predict(fine, anatomy, plan, catalogue()).total_mm()[:count] - coarse)[length(coarse) > 0.05]
    assert np.quantile(away, 0.95) < 0.02 and away.max() < 0.05, np.quantile(away, [0.5, 0.95, 1.0])


@PROCEDURE
def test_a_procedure_s_places_do_not_depend_on_triangles(model, mesh, name):
    here, there = (m.points(handle_points(m, a, catalogue()[name])[1])
                   for m, a in ((mesh, model.anatomy), remeshed(mesh, model.anatomy)))
    np.testing.assert_allclose(here, there, atol=0.2)


def test_where_the_head_stood_does_not_matter(model, mesh):
    """A head turned and moved, and brought back into the head frame by its landmarks."""
    turned = mesh.with_vertices(mesh.vertices_mm @ head_rotation(0.4, -0.2, 0.1).T + [30.0, -12.0, 500.0])
    pins = model.anatomy.pin_points
    _, rotation, shift = umeyama(turned.points(pins), mesh.points(pins), with_scale=False)
    again = turned.with_vertices(turned.vertices_mm @ rotation.T + shift)
    one, two = (predict(m, model.anatomy, at_full("rhinoplasty"), catalogue()).total_mm() for m in (mesh, again))
    np.testing.assert_allclose(one, two, atol=1e-3)


@pytest.mark.parametrize("seed", [None, 1])
def test_the_lips_stay_as_closed_as_they_were(model, seed):
    """Points of the two lips that touch move apart by no more than a lip can give."""
    mesh = head_of(model, seed)
    normals, lips = mesh.vertex_normals(), np.flatnonzero(model.anatomy.region("lips") > 0.5)
    upper, lower = (lips[(normals[lips, 1] * sign > 0.3)] for sign in (-1, 1))
    gap, other = cKDTree(mesh.vertices_mm[lower]).query(mesh.vertices_mm[upper])
    touching = gap < 1.0
    assert touching.sum() > 5
    for name in NAMES:
        total = predict(mesh, model.anatomy, at_full(name), catalogue()).total_mm()
        apart = (total[upper[touching]] - total[lower[other[touching]]])[:, 1]
        assert np.abs(apart).max() < 0.8, name


@pytest.mark.parametrize("seed", [None, 0])
def test_no_lid_enters_the_globe(model, seed):
    mesh = head_of(model, seed)
    for name in ("blepharoplasty_upper", "blepharoplasty_lower", "brow_lift", "malar_augmentation"):
        total = predict(mesh, model.anatomy, at_full(name), catalogue()).total_mm()
        for side, (centre, radius) in zip("lr", Globes(mesh, model.anatomy).spheres, strict=True):
            lid = (model.anatomy.region(f"eyelids_{side}") > 0.5) & (model.anatomy.region(f"eye_{side}") < 0.05)
            before, after = (np.linalg.norm(mesh.vertices_mm[lid] + u - centre, axis=1) - radius
                             for u in (np.zeros(3), total[lid]))
            assert (after > np.minimum(before, 0) - 0.1).all(), (name, (after - before).min())


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_the_ala_is_held_at_its_outer_wall_and_not_beside_it(model, seed):
    """A handle at the crease drags the cheek and throws the ala."""
    mesh, procedure = head_of(model, seed), catalogue()["rhinoplasty"]
    pins, points = handle_points(mesh, model.anatomy, procedure)
    normal, position = points.on(mesh.vertex_normals(), mesh.faces), mesh.points(points)
    for side, sign in (("l", 1), ("r", -1)):
        ala, crease = pins.index(f"ala_{side}"), pins.index(f"ac_{side}")
        assert sign * normal[ala, 0] > 0.85
        assert np.linalg.norm(position[ala] - position[crease]) > 4


@pytest.mark.parametrize(("procedure", "pins"), [("rhinoplasty", ("ala", "dome")), ("mentoplasty", ("chin", "border"))])
def test_twins_have_twin_fields(model, mesh, procedure, pins):
    """The mean head, its regions and its pins mirror each other exactly; so do the fields of twin handles."""
    field = field_of(mesh, model.anatomy, catalogue()[procedure])
    there = cKDTree(mesh.vertices_mm).query(mesh.vertices_mm * [-1, 1, 1])[1]
    for pin in pins:
        left, right = (field.cardinal[:, field.pins.index(f"{pin}_{side}")] for side in "lr")
        assert left.sum() == pytest.approx(right.sum(), rel=1e-4)
        np.testing.assert_allclose(left[there], right, atol=2e-3)
