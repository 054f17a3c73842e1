"""Every noun is frozen, keyword-only, copies its arrays and makes them read-only, and checks their shapes."""

import dataclasses
import pickle

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from core.anatomy import Anatomy
from core.camera import Camera
from core.capture import Capture, Frame
from core.errors import InputRefused, PrevisageError, UsageError
from core.landmarks import COUNT, MEDIAPIPE478, Landmarks2D, Landmarks3D
from core.prediction import Landed
from core.progress import part, silent
from core.reconstruction import Reconstruction, Scale
from tests.core.builders import camera, cube, face_model, pins, prediction, reconstruction


def every_record() -> list[object]:
    """One of each noun that holds arrays."""
    rng = np.random.default_rng(12)
    head = reconstruction(rng)
    return [head, prediction(rng, head), head.mesh, head.texture, head.anatomy, head.landmarks, head.views[0].camera,
            head.anatomy.pins478, face_model(), face_model().shape(np.zeros(2))]


@pytest.mark.parametrize("noun", every_record(), ids=lambda noun: type(noun).__name__)
def test_arrays_are_copied_read_only_and_fields_frozen(noun: object) -> None:
    arrays = {f.name: getattr(noun, f.name) for f in dataclasses.fields(noun)
              if isinstance(getattr(noun, f.name), np.ndarray)}
    assert arrays
    for name, array in arrays.items():
        assert not array.flags.writeable, name
        assert array.base is None, f"{name} is a view of somebody else's memory"
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(noun, name, array)
    mine = {name: array.copy() for name, array in arrays.items()}
    again = dataclasses.replace(noun, **mine)
    for name, array in mine.items():  # what its owner may still write to; what a record has frozen is shared
        assert not np.shares_memory(getattr(again, name), array), name
        assert array.flags.writeable and not getattr(again, name).flags.writeable, name
    assert noun == noun and noun != again, "records are compared by identity"


def test_records_take_keywords_only() -> None:
    with pytest.raises(TypeError):
        Scale(1.0, "iris", 0.04)
    assert Scale(mm_per_unit=1.0, source="iris", sd_relative=0.04).interval95_percent == pytest.approx(7.84)


def test_a_record_refuses_another_shape() -> None:
    with pytest.raises(TypeCheckError):
        Camera(K_px=np.eye(4), cam_from_head=np.eye(4), size_wh=(4, 4))


@pytest.mark.parametrize("kind, dimensions", [(Landmarks2D, 2), (Landmarks3D, 3)])
def test_a_scheme_has_its_number_of_points(kind: type, dimensions: int) -> None:
    def made(scheme: str, count: int) -> object:
        return kind(scheme=scheme, points=np.zeros((count, dimensions)), confidence=np.ones(count))

    assert len(made(MEDIAPIPE478, COUNT[MEDIAPIPE478]).points) == 478
    with pytest.raises(ValueError, match="478 points, not 468"):
        made(MEDIAPIPE478, 468)
    with pytest.raises(ValueError, match="unknown landmark scheme"):
        made("mediapipe468", 468)


@pytest.mark.parametrize("change", [{"mm_per_unit": 0.0}, {"mm_per_unit": -1.0}, {"mm_per_unit": float("nan")},
                                    {"sd_relative": 0.0}, {"sd_relative": float("inf")}])
def test_a_scale_without_a_size_or_a_spread_is_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="a scale must"):
        Scale(**{"mm_per_unit": 1.0, "source": "iris", "sd_relative": 0.04, **change})


def test_a_head_cannot_be_built_without_a_scale_or_with_another_topology() -> None:
    head = reconstruction(np.random.default_rng(13))
    fields = {f.name: getattr(head, f.name) for f in dataclasses.fields(head)}
    with pytest.raises(TypeError, match="scale"):
        Reconstruction(**{k: v for k, v in fields.items() if k != "scale"})
    with pytest.raises(ValueError, match="uncertainty"):
        dataclasses.replace(head, uncertainty_mm=head.uncertainty_mm[1:], seen=head.seen[1:])
    with pytest.raises(ValueError, match="topology"):
        dataclasses.replace(head, mesh=cube(), uncertainty_mm=np.ones(8), seen=np.ones(8))


def test_anatomy_finds_by_name_and_needs_every_name() -> None:
    rng = np.random.default_rng(14)
    mesh, points = cube(), pins(rng, cube(), 3)
    fields = {"pins478": pins(rng, mesh, 478), "pin_names": ("prn", "al_l", "al_r"), "pin_points": points,
              "region_names": ("nose",), "region_weights": rng.random((1, 8)).astype(np.float32)}
    anatomy = Anatomy(**fields)
    np.testing.assert_array_equal(mesh.points(anatomy.pin("al_l"))[0], mesh.points(points)[1])
    np.testing.assert_array_equal(anatomy.region("nose"), fields["region_weights"][0])
    with pytest.raises(ValueError):
        anatomy.pin("al_x")
    with pytest.raises(ValueError, match="pin needs a name"):
        Anatomy(**{**fields, "pin_names": ("prn",)})
    with pytest.raises(ValueError, match="region needs a name"):
        Anatomy(**{**fields, "region_names": ()})


def test_the_face_model_is_linear_and_zero_is_its_template() -> None:
    model, rng = face_model(), np.random.default_rng(16)
    np.testing.assert_array_equal(model.mean_mesh().vertices_mm, model.template_mm)
    a, b, smile = rng.normal(size=2), rng.normal(size=2), np.array([0.7])

    def vertices(identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        return model.shape(identity).pose(expression).mesh().vertices_mm - model.template_mm

    still = np.zeros(1)
    np.testing.assert_allclose(vertices(a, still) + vertices(b, smile), vertices(a + b, smile), atol=1e-12)
    np.testing.assert_allclose(vertices(np.array([1.0, 0]), still), model.identity_basis_mm[0], atol=1e-12)
    np.testing.assert_allclose(vertices(np.zeros(2), np.ones(1)), model.expression_basis_mm[0], atol=1e-12)


def test_a_landed_handle_knows_its_error() -> None:
    landed = Landed(step="hump", pin="rhi", asked_mm=(1.0, 2.0, 2.0), landed_mm=(1.0, 5.0, 6.0))
    assert landed.error_mm == pytest.approx(5)


def test_prediction_totals_its_steps() -> None:
    rng = np.random.default_rng(17)
    plan = prediction(rng, reconstruction(rng))
    np.testing.assert_allclose(plan.total_mm(), plan.displacement_mm[0] + plan.displacement_mm[1])


def test_a_capture_decodes_its_frames_and_knows_its_kinds(tmp_path: object) -> None:
    from PIL import Image

    pixels = np.random.default_rng(18).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "0.png")
    frame = Frame(path="0.png", source="IMG.HEIC", time_s=0.0, size_wh=(6, 4), landmarks=None, sharpness=1.0)
    capture = Capture(folder=tmp_path, kind="photos", frames=(frame,), quality={})
    np.testing.assert_array_equal(capture.picture(0), pixels)
    with pytest.raises(ValueError, match="video or photos"):
        dataclasses.replace(capture, kind="film")


@pytest.mark.parametrize("kind, code", [(PrevisageError, 1), (UsageError, 2), (InputRefused, 3)])
def test_errors_carry_their_exit_code_through_a_process_boundary(kind: type, code: int) -> None:
    error = pickle.loads(pickle.dumps(kind("no_face", "There is no face.", "Take another photo.")))
    assert type(error) is kind and error.exit_code == code
    assert (error.code, str(error)) == ("no_face", "There is no face. Take another photo.")


def test_part_of_a_progress_covers_its_share() -> None:
    heard: list[tuple[float, str]] = []
    share = part(part(lambda f, m: heard.append((f, m)), 0.5, 1.0), 0.0, 0.5)
    share(0.0, "start")
    share(1.0, "end")
    assert heard == [(0.5, "start"), (0.75, "end")]
    silent(0.5, "nothing")


def test_positions_survive_a_camera_round_trip() -> None:
    seen = camera(-0.7)
    assert np.linalg.norm(seen.position_mm) == pytest.approx(np.linalg.norm(seen.cam_from_head[:3, 3]))
