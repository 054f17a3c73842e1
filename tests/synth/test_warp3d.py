"""warp3d against the same head filmed after the operation; and what it must leave alone."""

import dataclasses

import cv2
import numpy as np
import pytest

from core.correspondence import Correspondence
from synth.backdrop import Plate, backdrop, matte, nearest_known, serves, signed_distance, still_plate
from synth.contours import along, beyond, contours
from synth.relight import light_ratio
from synth.reveal import adjoining, agreement, hidden, matched, occluded
from synth.warp3d import LIST_PX, WARP, drawn_from, upheld, warp3d, warped
from tests.synth.bent import Bent, bent

VIEWS = [0.0, 30.0, -30.0, 75.0, -75.0]


def flow_of(yaw_deg: float = 0.0) -> Correspondence:
    return bent(yaw_deg).seen.correspondence


def test_where_nothing_moves_the_frame_comes_back_as_its_own_copy() -> None:
    frame = bent().before
    same = warp3d(frame, None)
    assert np.array_equal(same, frame) and not np.shares_memory(same, frame)


@pytest.mark.parametrize("yaw_deg", VIEWS)
def test_outside_the_mask_every_byte_stays(yaw_deg: float) -> None:
    s = bent(yaw_deg)
    light = light_ratio(s.seen.correspondence, lambda n: 1 + 0.3 * n)
    made = warp3d(s.before, s.seen.correspondence, light, s.plate, s.skins)
    changed = np.any(made != s.before, axis=-1)
    assert changed.any() and not changed[s.inside == 0].any()


@pytest.mark.parametrize("yaw_deg", VIEWS)
def test_it_is_the_true_picture(yaw_deg: float) -> None:
    """Far nearer than the untouched frame, profiles included."""
    s = bent(yaw_deg)
    made = warp3d(s.before, s.seen.correspondence, None, s.plate, s.skins, misfit_mm=0.7)
    assert s.psnr(made) > 32 and s.psnr(made) > s.psnr(s.before) + 8


@pytest.mark.parametrize("yaw_deg", [75.0, -75.0])
def test_what_a_smaller_nose_uncovers_is_the_wall(yaw_deg: float) -> None:
    s = bent(yaw_deg)
    made = warp3d(s.before, s.seen.correspondence, None, s.plate, s.skins)
    bare = s.rasterizers[0](s.camera).covered & ~s.rasterizers[1](s.camera).covered
    far = bare & (signed_distance(s.rasterizers[1](s.camera).covered) < -2)  # beyond the soft edge
    assert far.sum() > 50
    error = np.abs(made.astype(float) - s.wall)[far].mean(-1)
    still_there = np.abs(s.before.astype(float) - s.wall)[far].mean(-1)
    assert np.median(error) < 5 and np.median(still_there) > 30 * np.median(error)


def test_without_a_plate_no_ghost_of_the_nose_stays() -> None:
    s = bent(75.0)
    made = warp3d(s.before, s.seen.correspondence, None, None, s.skins)
    bare = s.rasterizers[0](s.camera).covered & (signed_distance(s.rasterizers[1](s.camera).covered) < -2)
    assert np.median(np.abs(made.astype(float) - s.wall)[bare]) < 0.6 * np.median(
        np.abs(s.before.astype(float) - s.wall)[bare])


@pytest.mark.parametrize("yaw_deg", [75.0, -75.0])
def test_a_contour_that_ends_too_soon_leaves_no_ghost(yaw_deg: float) -> None:
    """Where motion fades to nothing within two pixels the old nose would stay beside the new one."""
    s = bent(yaw_deg, (0.0, 0.0, -8.0))
    flow = s.seen.correspondence
    short = dataclasses.replace(WARP.contour, rim_mm=0.3, fade_mm=0.3, stretch=0.1, bare=1.0)
    made = warped(s.before, flow, None, s.plate, s.skins, options=dataclasses.replace(WARP, contour=short)).picture
    before, after = (signed_distance(r(s.camera).covered) for r in s.rasterizers)
    bare = (before > 2) & (after < -2)
    assert bare.sum() > 50 and np.abs(made.astype(float) - s.wall)[bare].mean() < 8


def test_a_larger_nose_covers_the_wall() -> None:
    s = bent(75.0, (0.0, 0.0, 4.0))
    made = warp3d(s.before, s.seen.correspondence, None, s.plate, s.skins, misfit_mm=0.7)
    assert s.psnr(made) > 30 and s.psnr(made) > s.psnr(s.before) + 8


def test_a_person_found_roughly_takes_no_wall_along() -> None:
    """Half of what lies behind the nose is a neck; the segmentation takes 20 px of the wall for the person, too."""
    s = Bent(75.0, (0.0, 4.0, 3.0))
    neck = np.tile(np.arange(len(s.wall))[:, None] > len(s.wall) // 2, (1, s.wall.shape[1]))
    s.wall = np.where(neck[..., None], (190, 140, 115), (90, 120, 200)).astype(np.float32)
    s.before, s.true_after = (s.filmed(r) for r in s.rasterizers)
    exact = s.rasterizers[0](s.camera).covered | neck
    rough = cv2.dilate(exact.astype(np.uint8), np.ones((41, 41), np.uint8)) > 0
    told = [s.psnr(warp3d(s.before, s.seen.correspondence, None, None, s.skins, person=person, misfit_mm=1.5))
            for person in (exact, rough)]
    assert min(told) > 33 and abs(told[0] - told[1]) < 0.5


def test_a_contours_motion_is_evened_along_it_and_an_even_one_stays() -> None:
    edge = np.zeros((60, 60), bool)
    edge[np.arange(60), 20 + np.arange(60) // 2] = True
    y, x = np.nonzero(edge)
    even = np.tile(np.float32([3.0, -1.0]), (len(y), 1))
    assert np.abs(along(even, edge, y, x, 1.0) - even).max() < 1e-4
    jumping = even + np.where(np.arange(len(y)) % 2, 1.0, -1.0)[:, None].astype(np.float32)
    assert np.abs(along(jumping, edge, y, x, 1.0) - even)[3:-3].max() < 0.2


def test_both_sides_of_a_symmetric_plan_move_alike() -> None:
    s = bent(0.0, (0.0, 0.0, -5.0))
    made = warp3d(s.before, s.seen.correspondence, None, None, s.skins).astype(float)
    face = s.inside > 0.5
    lopsided = np.abs(made - made[:, ::-1])[face].mean() - np.abs(s.true_after.astype(float)
                                                                  - s.true_after[:, ::-1])[face].mean()
    assert lopsided < 0.5


def test_the_picture_keeps_its_grain() -> None:
    s = bent()
    made = warp3d(s.before, s.seen.correspondence, None, s.plate, s.skins)
    face = s.inside > 0.5

    def fine(picture: np.ndarray) -> float:
        luma = picture.mean(-1)
        return float(np.abs(4 * luma - np.roll(luma, 1, 0) - np.roll(luma, -1, 0) - np.roll(luma, 1, 1)
                            - np.roll(luma, -1, 1))[face].mean())
    assert 0.93 < fine(made.astype(float)) / fine(s.true_after.astype(float)) < 1.07


def lamp(normals: np.ndarray) -> np.ndarray:
    """A matt lamp from above and the side, with ambient light."""
    towards = np.array([0.5, 0.6, 0.62])
    return np.repeat((0.35 + 0.65 * np.maximum(normals @ towards, 0))[:, None], 3, 1).astype(np.float32)


def test_turned_skin_is_lit_as_the_lamp_lights_it() -> None:
    """Both pictures are lit by one lamp: with it the after-picture is nearer than with frozen brightness."""
    s = bent(0.0, (0.0, 0.0, -7.0))
    lit = []
    for rasterizer, picture in zip(s.rasterizers, (s.before, s.true_after), strict=True):
        fragments = rasterizer(s.camera)
        normals = fragments.interpolate(rasterizer.mesh.vertex_normals(), rasterizer.mesh.faces)
        shade = np.ones((*fragments.face.shape, 3), np.float32)
        n = normals[fragments.covered]
        shade[fragments.covered] = lamp(n / np.linalg.norm(n, axis=1, keepdims=True))
        lit.append(np.clip(picture * shade + 0.5, 0, 255).astype(np.uint8))
    made, frozen = (warp3d(lit[0], s.seen.correspondence, light, s.plate)
                    for light in (light_ratio(s.seen.correspondence, lamp), None))
    face = s.inside > 0.5
    error = [np.mean((p.astype(float) - lit[1])[face] ** 2) for p in (made, frozen)]
    assert error[0] < 0.4 * error[1]


def test_light_changes_nothing_where_normals_stay() -> None:
    flow = flow_of()
    same = dataclasses.replace(flow, normals_after=flow.normals_before)
    assert np.all(light_ratio(same, lamp) == 1)
    assert light_ratio(flow, lamp).min() < 0.99 or light_ratio(flow, lamp).max() > 1.01


def test_light_stays_within_its_limits() -> None:
    ratio = light_ratio(flow_of(), lambda n: np.exp(20 * n).astype(np.float32))
    assert 0.6 - 1e-4 <= ratio.min() and ratio.max() <= 1.6 + 1e-4


def test_no_contour_no_motion_beyond_it() -> None:
    flow = flow_of()
    everywhere = np.ones(flow.mask.shape, bool)
    assert beyond(flow.depth_after_mm, np.zeros_like(flow.flow_px), flow.px_per_mm, everywhere, ~everywhere) is None
    side = flow_of(75.0)
    found = beyond(side.depth_after_mm, side.flow_px, side.px_per_mm, np.ones(side.mask.shape, bool),
                   ~np.isfinite(side.depth_after_mm))
    assert found is not None and found.stretched[~found.behind].max() == 0


@pytest.mark.parametrize("turned", [False, True])
def test_a_flank_that_is_seen_is_no_contour_however_steep(turned: bool) -> None:
    """What runs away by 3 mm in each pixel is one skin; a step of 6 mm at its end is where another thing begins."""
    depth = np.broadcast_to(np.cumsum([0, 0, 0, 3, 3, 3, 3, 0, 0, 0.0]), (8, 10)).astype(np.float32).copy()
    motion = np.zeros((8, 10, 2), np.float32)
    motion[..., 1] = np.linspace(4, 0, 10)  # by 0.44 px from one to the next
    def found(of: np.ndarray) -> np.ndarray:
        return contours(of.T, motion.transpose(1, 0, 2)).T if turned else contours(of, motion)
    assert not found(depth).any()
    depth[:, 7:] += 6
    assert np.array_equal(np.flatnonzero(found(depth).any(0)), [6]) and found(depth)[:, 6].all()
    assert np.array_equal(np.flatnonzero(found(depth[:, ::-1]).any(0)), [3])


def test_skin_behind_the_nose_is_hidden_until_the_nose_is_smaller() -> None:
    """Against rays to the points themselves."""
    s = bent(60.0, (0.0, 0.0, -12.0))
    flow, after = s.seen.correspondence, s.seen.after
    covered = after.covered
    corners = s.mesh.faces[after.face[covered]]
    points = np.einsum("nk,nkc->nc", after.bary[covered].astype(float), s.mesh.vertices_mm[corners])
    behind = np.zeros(covered.shape, bool)
    behind[covered] = ~s.rasterizers[0].visible(points, s.camera, 2.5)
    found = occluded(flow)
    assert behind.sum() > 100 and (found & behind).sum() > 0.5 * behind.sum()  # not its rim
    assert (found & ~behind).sum() < 0.2 * behind.sum()


def test_a_far_wing_that_comes_out_behind_the_tip_was_hidden_beside_the_wall_too() -> None:
    """Its skin lay behind the last pixel of the nose before; the wall is a pixel away."""
    flow = flow_of(75.0)
    shape = flow.mask.shape
    across = np.arange(shape[1])
    before = np.broadcast_to(np.where(across < 30, 400, np.inf), shape)
    after = np.broadcast_to(np.where(across < 26, 400, np.where(across < 28, 420, np.inf)), shape)
    moves = np.broadcast_to(np.where((across < 28)[:, None], [[2.0, 0.0]], 0), (*shape, 2))
    found = occluded(dataclasses.replace(flow, flow_px=moves, depth_before_mm=before, depth_after_mm=after,
                                         from_depth_mm=after, moved=np.isfinite(after)))
    assert found[:, 26:28].all() and not found[:, :26].any()


def test_the_rim_of_a_contour_counts_as_hidden() -> None:
    flow = flow_of(75.0)
    contour = beyond(flow.depth_after_mm, flow.flow_px, flow.px_per_mm, ~occluded(flow),
                     ~np.isfinite(flow.depth_after_mm))
    assert contour is not None and not (occluded(flow) & ~hidden(flow, contour)).any()


def test_the_texture_is_brought_to_the_frames_colours() -> None:
    rng = np.random.default_rng(0)
    skin = rng.uniform(80, 160, (40, 50, 3)).astype(np.float32)
    out = matched(0.9 * skin, skin, skin, np.ones((40, 50), bool), 4.0)
    assert np.allclose(out, 0.9 * skin, rtol=1e-3)


def test_the_texture_joins_the_picture_beside_what_was_hidden() -> None:
    """Skin as bright as the picture on this side of the contour, whatever lies on the other; untold, it stays."""
    beside = np.zeros((40, 60), bool)
    beside[:, 20:30] = True
    skin, picture = np.full((40, 60, 3), 100.0, np.float32), np.full((40, 60, 3), 40.0, np.float32)
    picture[:, 20:30] = 120
    joined = adjoining(skin, picture, beside, 2.0)
    assert np.all(np.abs(joined[:, 20:34] - 120) < 6) and np.all(joined[:, 50:] == 100)
    assert np.array_equal(adjoining(skin, picture, np.zeros_like(beside), 2.0), skin)


def test_a_texture_that_is_off_is_not_trusted() -> None:
    near, off = (np.full((40, 40, 3), value, np.float32) for value in (120.0, 252.0))
    unseen = np.zeros((40, 40), bool)
    unseen[15:25, 15:25] = True
    assert agreement(near, near, unseen, 2.0)[20, 20] > 0.99 and agreement(off, near, unseen, 2.0)[20, 20] < 0.01


def frames(moving: bool) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A wall with a person who walks through; the wall stands still or runs with him."""
    rng = np.random.default_rng(1)
    wall = rng.integers(0, 255, (60, 90, 3), dtype=np.uint8)
    pictures, people = [], []
    for k in range(8):
        picture = np.roll(wall, 7 * k, 1) if moving else wall.copy()
        person = np.zeros((60, 90), bool)
        person[:, 10 * k:10 * k + 15] = True
        picture[person] = 0
        pictures.append(picture)
        people.append(person)
    return pictures, people


def test_a_still_wall_is_put_together_from_the_frames() -> None:
    pictures, people = frames(moving=False)
    wall = np.where(people[0][..., None], pictures[7], pictures[0])
    plate = still_plate(pictures, people)
    assert plate.known[:, :80].all() and np.array_equal(plate.rgb[plate.known], wall[plate.known].astype(np.float32))
    assert serves(plate, pictures[3], people[3])


def test_a_wall_that_moves_gives_no_plate() -> None:
    pictures, people = frames(moving=True)
    assert still_plate(pictures, people).known.mean() < 0.05
    still, _ = frames(moving=False)
    assert not serves(still_plate(still, people), pictures[3], people[3])


def test_what_nobody_saw_is_like_its_surroundings() -> None:
    picture = np.zeros((30, 40, 3), np.uint8)
    picture[:, :20], picture[:, 20:] = (200, 10, 10), (10, 200, 10)
    known = np.ones((30, 40), bool)
    known[10:20, 5:12] = False
    picture[~known] = 255
    assert np.array_equal(nearest_known(picture, known)[15, 8], [200, 10, 10])
    filled = backdrop(picture, known, ~known, None)
    assert np.abs(filled[~known] - [200, 10, 10]).max() <= 2 and np.array_equal(filled[known], picture[known])


def test_the_matte_follows_the_picture_not_the_fit() -> None:
    """A person drawn 3 px wider than fitted: the matte ends where the person does."""
    behind = np.full((60, 80, 3), 40, np.float32)
    frame = behind.copy()
    frame[:, 37:] = 200
    s = signed_distance(np.tile(np.arange(80) >= 40, (60, 1)))
    found = matte(frame, behind, s, 6.0)
    assert found[:, 37:].min() > 0.95 and found[:, :37].max() < 0.05


def test_what_is_neither_skin_nor_backdrop_is_the_persons() -> None:
    """A dark eye on the rim, before a backdrop that is between it and the skin in brightness."""
    behind = np.full((60, 80, 3), (150, 60, 140), np.float32)
    frame = behind.copy()
    frame[:, 40:] = (210, 160, 130)
    frame[20:40, 40:46] = (30, 20, 15)
    s = signed_distance(np.tile(np.arange(80) >= 40, (60, 1)))
    found = matte(frame, behind, s, 8.0)
    assert found[20:40, 41:46].min() > 0.95 and found[:, :40].max() < 0.05


def test_skin_in_the_shade_of_the_chin_is_the_persons() -> None:
    """Dark skin on the head's side, before a dark backdrop of another colour."""
    behind = np.full((60, 80, 3), (55, 75, 80), np.float32)
    frame = behind.copy()
    frame[:, 40:] = (200, 150, 125)
    frame[:, 40:44] = (84, 63, 52)
    s = signed_distance(np.tile(np.arange(80) >= 40, (60, 1)))
    found = matte(frame, behind, s, 5.0)
    assert found[:, 41:].min() > 0.95 and found[:, :40].max() < 0.05


def test_a_plate_is_used_where_it_is_known() -> None:
    picture = np.full((20, 20, 3), 90, np.uint8)
    known = np.zeros((20, 20), bool)
    known[5:10] = True
    plate = Plate(rgb=np.full((20, 20, 3), 33.0), known=known)
    out = backdrop(picture, np.ones((20, 20), bool), known, plate)
    assert np.all(out[known] == 33) and np.all(out[~known] == 90)


def test_skin_is_there_when_what_hid_it_is_gone_altogether() -> None:
    s = bent(60.0, (0.0, 0.0, -12.0))
    flow = s.seen.correspondence
    unseen = np.zeros(s.inside.shape, bool)
    unseen[flow.window] = occluded(flow)
    assert unseen.sum() > 20
    filled, smeared = (warp3d(s.before, flow, None, s.plate, skins) for skins in (s.skins, None))
    error = [np.abs(p.astype(float) - s.true_after)[unseen].mean() for p in (filled, smeared)]
    assert error[0] < 0.3 * error[1]


@pytest.mark.parametrize("yaw_deg", [50.0, -58.0])
def test_a_nose_that_withdraws_behind_a_cheek_uncovers_the_cheek_not_the_wall(yaw_deg: float) -> None:
    s = bent(yaw_deg, (0.0, 0.0, -3.0))
    before, after = (r(s.camera).depth_mm for r in s.rasterizers)
    cheek = np.isfinite(after) & (after > before + 3)
    assert cheek.sum() > 30
    made = warp3d(s.before, s.seen.correspondence, None, s.plate, s.skins, misfit_mm=0.7)
    assert s.psnr(made) > 35 and np.abs(made.astype(float) - s.true_after)[cheek].mean() < 8


def test_a_sliver_that_no_part_of_the_picture_shows_is_not_believed() -> None:
    """Two pieces of skin behind a contour: one shown for the greater part, one not at all."""
    behind, unseen = np.zeros((2, 20, 40), bool)
    behind[5:15, 3:20] = behind[8:10, 25:35] = True
    unseen[5:15, 15:40] = True
    found = upheld(behind, unseen)
    assert np.array_equal(found, behind & (np.arange(40) < 22))


def test_a_head_that_fits_badly_is_not_believed_about_hidden_skin() -> None:
    good, bad = WARP.loosened(1.0), WARP.loosened(2.0)
    assert good.reveal.sure and not bad.reveal.sure and bad.reveal.agree < good.reveal.agree
    assert bad.contour.rim_mm > good.contour.rim_mm and bad.contour.bare <= 2.5


@pytest.mark.parametrize("count", [0, 1, LIST_PX, LIST_PX + 1])
def test_a_list_of_places_is_sampled_as_a_picture_of_them(count: int) -> None:
    rng = np.random.default_rng(3)
    picture = rng.uniform(0, 255, (60, 80, 3)).astype(np.float32)
    x, y = (rng.uniform(-3, n + 3, (70, 90)).astype(np.float32) for n in (80, 60))
    chosen = np.zeros(x.size, bool)
    chosen[rng.permutation(x.size)[:count]] = True
    chosen = chosen.reshape(x.shape)
    for source in (picture, np.ascontiguousarray(picture[..., 0])):
        whole = drawn_from(source, (x, y), cv2.INTER_LANCZOS4)
        assert np.array_equal(drawn_from(source, (x[chosen], y[chosen]), cv2.INTER_LANCZOS4), whole[chosen])
