"""What films the test captures: blur, exposure, grain, the room round a head, halved eyeballs, blinks, spectacles."""

from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import open3d as o3d
import pytest
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from benchmarks import capture_heads as heads
from benchmarks import capture_scans as scans
from benchmarks import filming
from benchmarks.film_captures import FILMS, tool_of

TOOL = Path(__file__).resolve().parents[3] / "shared" / "tools" / "head_capture.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    if not TOOL.is_file():
        pytest.skip("head_capture.py is not beside this checkout (../shared/tools)")
    return tool_of(TOOL)


def ball(radius_mm: float, times: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A sphere of halved octahedron triangles."""
    verts = np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    tris = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [1, 0, 5], [2, 1, 5], [3, 2, 5], [0, 3, 5]])
    for _ in range(times):
        verts, tris = scans.finer(verts, tris)
        verts = verts / np.linalg.norm(verts, axis=1, keepdims=True)
    return verts * radius_mm, tris


def shape(verts: np.ndarray, tris: np.ndarray) -> SimpleNamespace:
    """What filming asks of a head of head_capture's."""
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(verts.astype(np.float32)), o3d.core.Tensor(tris.astype(np.uint32)))
    return SimpleNamespace(verts=verts.astype(np.float32), tris=tris.astype(np.uint32), scene=scene,
                           normals=filming.unit(verts).astype(np.float32))


def pose(yaw_deg: float, distance_mm: float) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ Rotation.from_euler("y", yaw_deg, degrees=True).as_matrix()
    out[2, 3] = distance_mm
    return out


# --- time -------------------------------------------------------------------------------------------------------------


def test_an_exposure_is_centred_on_its_frame_and_as_long_as_the_shutter_is_open():
    moments = filming.moments_of(0.5, 4)
    np.testing.assert_allclose(moments, [-0.1875, -0.0625, 0.0625, 0.1875])
    assert not filming.moments_of(0.0, 4).any()


def test_a_pose_between_frames_turns_evenly_and_the_ends_hold():
    poses = np.stack([pose(0, 400), pose(10, 420)])
    for frame, yaw, distance in ((0.0, 0, 400), (0.25, 2.5, 405), (1.0, 10, 420), (-0.2, 0, 400), (1.3, 10, 420)):
        np.testing.assert_allclose(filming.pose_at(poses, frame), pose(yaw, distance), atol=1e-12)


def test_motion_blur_widens_the_edge_of_what_moves_and_nothing_else():
    """A ball that moves 8 px in the time of a frame, shutter open for half of it: its edge is 3 px wide."""
    verts, tris = ball(50.0, 4)
    actor = filming.Actor(verts_mm=verts, tris=tris, colors=np.full(verts.shape, 200, np.uint8), skin_detail=0.0)
    shot = filming.Shot(seed=0, width=160, height=160)
    K = np.array([[400.0, 0, 79.5], [0, 400, 79.5], [0, 0, 1]])
    poses = np.stack([pose(0, 400), pose(0, 400)])
    poses[:, 0, 3] = -4, 4

    def cover(shutter: float) -> np.ndarray:
        moments = [filming.pose_at(poses, 0.5 + dt) for dt in filming.moments_of(shutter, 4)]
        back = np.zeros((160, 160, 3), np.float32)
        return filming.exposed(actor, shape(verts, tris), K, moments, moments[0], shot, back)[80, :, 0] > 0

    sharp, blurred = (np.flatnonzero(cover(shutter)) for shutter in (0.0, 0.5))
    assert sharp[0] - blurred[0] in (1, 2) and blurred[-1] - sharp[-1] in (1, 2)
    assert sharp[-1] - sharp[0] == pytest.approx(2 * 400 * 50 / np.sqrt(400**2 - 50**2), abs=2)


def test_the_gain_starts_at_one_and_swings_both_ways_with_the_white_balance():
    gain = filming.gain_of(90, 0.3, 0.06)
    np.testing.assert_allclose(gain[0], 1)
    assert gain[:, 1].max() == pytest.approx(1.3, abs=1e-3) and gain[:, 1].min() == pytest.approx(0.7, abs=1e-3)
    ratio = gain[:, 0] / gain[:, 2]
    assert ratio.max() == pytest.approx(1.06 / 0.94, rel=1e-3) and ratio.min() == pytest.approx(0.94 / 1.06, rel=1e-3)
    np.testing.assert_array_equal(filming.gain_of(5, 0.0, 0.0), 1)


def test_a_full_sensor_is_white_and_darkness_black():
    np.testing.assert_allclose(filming.respond(np.array([[[-1.0, 0.5, 7.0]]])), [[[0, 0.5**(1 / 1.3), 1]]], rtol=1e-6)


# --- light and room ---------------------------------------------------------------------------------------------------


def test_the_grain_is_the_lattice_between_its_points():
    points = np.random.default_rng(0).uniform(-300, 300, (5000, 3))
    lattice = np.random.default_rng(7).uniform(-1, 1, (48, 48, 48)).astype(np.float32)
    slow = map_coordinates(lattice, (points / 5.0).T, order=1, mode="grid-wrap")
    fast = filming.noise(points, 5.0, np.random.default_rng(7))
    assert np.abs(fast - slow).max() < 0.07 and np.abs(fast - slow).mean() < 0.01  # cv2.remap rounds to 1/32 cell


def test_a_ray_goes_through_its_place_in_the_pixel():
    verts, tris = ball(60.0, 4)
    K, P = np.array([[250.0, 0, 63.5], [0, 250, 47.5], [0, 0, 1]]), pose(20, 350)
    (row, column), tri, bary = filming.cast(shape(verts, tris), K, P, (96, 128), (0.25, -0.25))
    point = np.einsum("kc,kcd->kd", bary, verts[tris[tri]]) @ P[:3, :3].T + P[:3, 3]
    px = point[:, :2] / point[:, 2:] * [250, 250] + [63.5, 47.5]
    np.testing.assert_allclose(px, np.stack([column + 0.25, row - 0.25], 1), atol=1e-3)
    assert len(row) == pytest.approx(np.pi * 250**2 * 60**2 / (350**2 - 60**2), rel=0.02)


def test_a_camera_inside_the_head_is_refused():
    verts, tris = ball(60.0)
    with pytest.raises(ValueError, match="inside the head"):
        filming.cast(shape(verts, tris), np.eye(3), pose(0, 20), (8, 8), (0.0, 0.0))


def test_the_room_has_six_walls_and_they_stand_still():
    """Looked at from the middle, each way shows its wall; a step aside shifts what is ahead by its angle."""
    s = 65
    atlas = np.concatenate([np.full((s, s, 3), k / 10, np.float32) for k in range(6)], 1)
    K = np.array([[50.0, 0, 4], [0, 50, 4], [0, 0, 1]])
    ways = {(1, 0, 0): 1, (-1, 0, 0): 0, (0, 1, 0): 3, (0, -1, 0): 2, (0, 0, 1): 5, (0, 0, -1): 4}
    for way, wall in ways.items():
        P = np.eye(4)
        P[:3, :3] = Rotation.align_vectors([[0, 0, 1]], [way])[0].as_matrix()
        np.testing.assert_allclose(filming.walls(atlas, K, P, (9, 9)), wall / 10, atol=1e-6)
    ramp = np.tile(np.linspace(0, 1, s, dtype=np.float32)[None, :, None], (s, 6, 3))
    P = np.eye(4)
    ahead = filming.walls(ramp, K, P, (9, 9))[4, :, 0]
    P[0, 3] = -38.0  # the eye 38 mm to the right: 1 px at 1900 mm and 50 px focal length
    np.testing.assert_allclose(filming.walls(ramp, K, P, (9, 9))[4, :-1, 0], ahead[1:], atol=2e-3)
    P[0, 3] = 5000.0
    with pytest.raises(ValueError, match="outside the room"):
        filming.walls(ramp, K, P, (9, 9))


def test_with_a_phone_that_moves_the_light_stays_with_the_head():
    still, moving = filming.Shot(seed=0), filming.Shot(seed=0, phone_moves=True)
    np.testing.assert_array_equal(filming.lamp_rotation(pose(40, 400), still), np.eye(3))
    np.testing.assert_allclose(filming.lamp_rotation(pose(0, 400), moving), np.eye(3), atol=1e-12)
    (lamp, _), *_ = filming.lights_of("room")
    in_head = [pose(yaw, 400)[:3, :3].T @ filming.lamp_rotation(pose(yaw, 400), moving) @ lamp for yaw in (0, 40)]
    np.testing.assert_allclose(*in_head, atol=1e-12)


# --- heads ------------------------------------------------------------------------------------------------------------


def test_halved_eyeballs_follow_the_coarse_ones():
    coarse, tris = ball(15.0, 1)
    rng = np.random.default_rng(0)
    fine_tris, fine = tris, coarse + rng.normal(0, 1, coarse.shape)
    moved = fine
    for _ in range(3):
        fine, fine_tris = scans.finer(fine, fine_tris)
    np.testing.assert_allclose(heads.halved(moved, fine_tris, 3), fine, atol=1e-12)
    with pytest.raises(ValueError, match="not halved"):
        heads.halved(coarse[:-1], fine_tris, 3)


def test_a_larger_eyeball_keeps_the_width_of_its_iris():
    old, _ = ball(14.0, 5)
    colors = np.full(old.shape, 240, np.uint8)
    colors[(np.hypot(old[:, 0] - 1, old[:, 1]) < heads.IRIS_WIDTH_MM / 2) & (old[:, 2] > 0)] = 60
    new = old * [1.2, 1.1, 1.15] + [30, 0, 0]
    stretched = heads.iris_width_mm(new, colors)
    paint, middle = heads.iris_repainted(old, colors, new)
    assert stretched > 13 and heads.iris_width_mm(new, paint) == pytest.approx(heads.IRIS_WIDTH_MM, abs=0.7)
    dark = new[paint[:, 0] == 60]
    assert (dark[:, 2] > 0).all()
    np.testing.assert_allclose((dark.min(0) + dark.max(0))[:2] / 2, middle[:2], atol=0.7)


def test_blinks_and_smiles_begin_and_end_at_rest():
    blink, smile = heads.blinks((0.1, 0.46), 0.062), heads.smile_and_open(0.35, 0.07)
    assert blink(0.46) == {"eyeBlink_L": 1.0, "eyeBlink_R": 1.0}
    assert not any(any(blink(phase).values()) for phase in (0.0, 0.2, 0.3, 0.6, 1.0))
    assert smile(0.5) == pytest.approx({"jawOpen": 0.07, "mouthSmile_L": 0.35, "mouthSmile_R": 0.35})
    assert all(abs(w) < 1e-12 for phase in (0.0, 1.0) for w in smile(phase).values())


def test_an_eyelid_that_would_cut_the_eyeball_slides_on_it():
    verts, tris = ball(12.0, 4)
    eye = heads.Ball.of(verts, tris, 0)
    rest = np.array([[0, 3, 13.0], [0, 0, 14.0], [0, 0, 5.0]])  # two lids outside, the lining deep inside
    now = np.array([[0, 0, 11.0], [0, 0, 13.5], [0, 0, 4.0]])
    np.testing.assert_allclose(eye.outside(now, rest), [[0, 0, 12 + heads.LID_GAP_MM], [0, 0, 13.5], [0, 0, 4.0]],
                               atol=0.05)


def test_a_wire_keeps_its_radius_and_spectacles_stand_before_the_eyes():
    line = np.array([[0, 0, 0], [10, 0, 0], [20, 0, -1.5]], float)
    verts, tris = heads.tube(line, 1.5)
    rings = verts.reshape(3, -1, 3)
    np.testing.assert_allclose(np.linalg.norm(rings - line[:, None], axis=2), 1.5)
    assert tris.max() == len(verts) - 1
    marks = np.zeros((478, 3))
    marks[[33, 133, 362, 263, 168, 234, 454]] = [
        [-45, 0, 60], [-17, 0, 65], [17, 0, 65], [45, 0, 60], [0, 5, 80], [-70, -10, 0], [70, -10, 0]]
    verts, tris = heads.glasses(marks)
    assert verts[:, 2].max() > 62.5 + 14 and np.ptp(verts[:, 0]) == pytest.approx(2 * 77, abs=4)
    assert verts[:, 0].max() == pytest.approx(-verts[:, 0].min(), abs=1e-6)
    assert tris.max() == len(verts) - 1


def test_spikes_are_drawn_in_and_the_rest_stays():
    verts, tris = ball(100.0, 4)
    spiked = verts.copy()
    spiked[40] *= 1.6
    healed, drawn = scans.without_spikes(spiked, tris)
    assert drawn.sum() == 1 and abs(np.linalg.norm(healed[40]) - 100) < 4
    np.testing.assert_array_equal(np.delete(healed, 40, 0), np.delete(verts, 40, 0))


# --- whole films ------------------------------------------------------------------------------------------------------


def test_every_film_is_in_the_table():
    page = (Path(heads.__file__).parent / "captures.md").read_text("utf-8")
    rows = [line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `")]
    assert rows == list(FILMS)


def test_the_light_is_that_of_head_capture(tool: ModuleType):
    verts, tris = ball(60.0, 4)
    colors = np.random.default_rng(0).integers(60, 200, verts.shape).astype(np.uint8)
    theirs = tool.Head(verts, tris, colors=colors, skin_detail=0.0)
    actor = filming.Actor(verts_mm=verts, tris=tris, colors=colors, skin_detail=0.0)
    K, P = np.array([[300.0, 0, 63.5], [0, 300, 47.5], [0, 0, 1]]), pose(20, 350)
    _, tri, bary = filming.cast(theirs, K, P, (96, 128), (0.0, 0.0))
    lights = filming.lights_of("room")
    np.testing.assert_allclose(np.clip(filming.shade(actor, theirs, tri, bary, P, lights), 0, 1),
                               theirs.shade(tri, bary, P, lights, filming.AMBIENT), atol=1e-4)


def test_a_film_is_whole_or_not_there(tool: ModuleType, tmp_path: Path):
    verts, tris = ball(80.0, 3)
    worn = (verts * 0.2 + [0, 0, 90], tris, (20, 20, 20))
    actor = filming.Actor(verts_mm=verts, tris=tris, colors=np.full(verts.shape, 180, np.uint8), worn=worn,
                          moved_mm=lambda phase: verts * (1 + 0.1 * phase))
    shot = filming.Shot(seed=3, frames=4, width=96, height=128, shutter=0.5, phone_moves=True)
    filming.film(tool, actor, shot, tmp_path / "one", {"name": "one"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one"]
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == ["film.json", "truth.npz", "video.mp4"]
    with np.load(tmp_path / "one" / "truth.npz") as truth:
        assert sorted(truth) == ["K", "cam_from_head", "landmarks478", "tris", "verts"]
        np.testing.assert_array_equal(truth["verts"], verts.astype(np.float32))  # neutral, without what is worn
        assert truth["cam_from_head"].shape == (4, 4, 4)
    with pytest.raises(OSError):
        filming.film(tool, actor, shot, tmp_path / "one", {"name": "one"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one"]
