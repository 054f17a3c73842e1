"""Surroundings: stains on the wall and new bulges of an outline are seen; what the plan and the photo have is not."""

import dataclasses

import cv2
import numpy as np
import pytest

from core.correspondence import Correspondence
from synth.guard import guard
from synth.surroundings import Surroundings, surroundings

PX_PER_MM, SIZE, CENTRE, R_MM = 4.0, 480, (240, 150), 45.0
SKIN, WALL = np.array([170, 120, 100.0]), np.array([220, 225, 225.0])


def disc(r_mm: float, centre: tuple[int, int] = CENTRE) -> np.ndarray:
    """A mask."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.hypot(x - centre[0], y - centre[1]) < r_mm * PX_PER_MM


def photo(person: np.ndarray, wall: np.ndarray = WALL) -> np.ndarray:
    """Skin before a wall, with a soft edge and noise."""
    soft = cv2.GaussianBlur(person.astype(np.float32), (0, 0), 1.0)[..., None]
    noise = np.random.default_rng(1).normal(0, 2, (SIZE, SIZE, 1))
    return np.clip(soft * SKIN + (1 - soft) * wall + noise, 0, 255).astype(np.uint8)


def asked(head: np.ndarray) -> Correspondence:
    """What the head is after; nothing else of it counts."""
    depth, none = np.where(head, 500.0, np.inf), np.zeros((SIZE, SIZE, 3), np.float32)
    return Correspondence(left=0, top=0, flow_px=none[..., :2], depth_after_mm=depth, depth_before_mm=depth,
                          from_depth_mm=depth, moved=head, normals_before=none, normals_after=none,
                          mask=np.ones((SIZE, SIZE), np.float32), px_per_mm=PX_PER_MM)


def withdrawn() -> np.ndarray:
    """The person with a flatter lower end."""
    y, _ = np.mgrid[:SIZE, :SIZE]
    return disc(R_MM) & ~((y > CENTRE[1] + (R_MM - 4) * PX_PER_MM) & ~disc(R_MM + 15, (CENTRE[0], 74)))


def seen(after: np.ndarray, head: np.ndarray | None = None, before: np.ndarray | None = None,
         person: np.ndarray | None = None) -> Surroundings:
    """Of the person before and a picture after."""
    person = disc(R_MM) if person is None else person
    before = photo(person) if before is None else before
    found = surroundings(before, after, person, asked(withdrawn() if head is None else head))
    assert found is not None
    return found


def test_an_outline_that_withdraws_before_a_clean_wall_is_fine() -> None:
    found = seen(photo(withdrawn()))
    assert found.stained_mm2 < 0.3 and found.bulge_mm < 0.2


def test_crumbs_and_clouds_on_the_wall_are_seen() -> None:
    after = photo(withdrawn())
    crumbs = disc(1.0, (240, 325)) | disc(1.0, (255, 326)) | disc(1.0, (225, 325))
    after[crumbs] = SKIN
    assert 3 < seen(after).stained_mm2 < 3 * np.pi * 1.3
    cloud = photo(withdrawn())
    cloud[disc(4.0, (240, 345))] -= 10
    assert 5 < seen(cloud).stained_mm2 < 50


def test_skin_as_pale_as_the_wall_amid_the_face_is_not_the_wall() -> None:
    pale = disc(6.0)
    before, after = photo(disc(R_MM)), photo(withdrawn())
    before[pale] = WALL
    after[pale] = WALL
    after[disc(3.0)] = SKIN
    assert seen(after, before=before).stained_mm2 < 0.3


def test_what_stays_of_an_outline_that_withdraws_is_a_bulge() -> None:
    lobe = withdrawn() | (disc(R_MM) & disc(5.0, (240, 325)))
    assert seen(photo(lobe)).bulge_mm > 0.6


def test_a_chin_that_advances_by_plan_is_no_bulge_and_a_spike_is() -> None:
    chin = disc(R_MM) | disc(12.0, (240, 300))
    assert seen(photo(chin), chin).bulge_mm < 0.2
    spike = chin | disc(1.8, (240, 352))
    assert seen(photo(spike), chin).bulge_mm > 0.5


def test_a_bulge_that_the_photo_has_is_not_new() -> None:
    nose = disc(5.0, (240, 332))
    y, _ = np.mgrid[:SIZE, :SIZE]
    after = photo((disc(R_MM) & (y < CENTRE[1] + (R_MM - 1) * PX_PER_MM)) | nose)
    assert seen(after, person=disc(R_MM) | nose).bulge_mm < 0.2
    assert seen(after).bulge_mm > 0.5


def test_hair_before_the_wall_may_move() -> None:
    strand = lambda x: np.broadcast_to(np.abs(np.arange(SIZE) - x) < 3, (SIZE, SIZE))  # noqa: E731
    before, after = photo(disc(R_MM) | strand(200)), photo(withdrawn() | strand(206))
    assert seen(after, before=before).stained_mm2 < 1.0


def test_a_wall_that_is_not_plain_tells_nothing() -> None:
    rough = cv2.resize(np.random.default_rng(0).uniform(60, 240, (24, 24, 3)), (SIZE, SIZE))
    person = disc(R_MM)
    assert surroundings(photo(person, rough), photo(withdrawn(), rough), person, asked(withdrawn())) is None


def test_far_from_the_wall_nothing_is_looked_at() -> None:
    before = photo(disc(R_MM))
    after = before.copy()
    after[disc(10.0)] -= 30
    found = seen(after)
    assert found.stained_mm2 == 0 and found.bulge_mm == 0


@pytest.mark.parametrize("fault", ["stain", "bulge", "none", "size"])
def test_the_guard_refuses_both(fault: str) -> None:
    before, person = photo(disc(R_MM)), disc(R_MM)
    after = photo({"bulge": withdrawn() | (disc(R_MM) & disc(5.0, (240, 325)))}.get(fault, withdrawn()))
    if fault == "stain":
        after[disc(2.0, (240, 350))] = SKIN
    flow = dataclasses.replace(asked(withdrawn()), moved=np.zeros((SIZE, SIZE), bool))
    told = guard(before, after, flow, person=person[1:] if fault == "size" else person)
    failed = [c.name for c in told.failed if c.name in ("outline", "backdrop")]
    assert failed == {"stain": ["backdrop"], "bulge": ["outline"], "none": [], "size": ["outline"]}[fault]
    assert not [c for c in guard(before, after, flow).checks if c.name in ("outline", "backdrop")]
