"""Two people one after the other are refused; one is not, who smiles, comes nearer or is seen by a shaky network."""

import numpy as np
import pytest

from core.errors import InputRefused
from recon.detect import Face
from recon.face478 import Expression
from recon.quality import Measure
from recon.same_person import BONES, apart, meeting, refuse_another
from tests.recon.media import turned_face

CALM = Expression(mouth=0.02, eye=0.3, brow=0.3, smile=0.9)
YAWS = np.concatenate([np.linspace(0, 40, 15), np.linspace(40, -40, 30), np.linspace(-40, 0, 15)])
TIMES = tuple(k / 30 for k in range(2 * len(YAWS)))
PX_PER_MM = 4.0
CORNERS_MM = 87.0


def film(other_mm, share=None, seed=0):
    """A turn done twice; of the second one's face `share` (of 0 to 1, a frame each) is another's: `other_mm` away."""
    rng = np.random.default_rng(seed)
    other = np.random.default_rng(7).normal(0, other_mm, (478, 3))
    share = np.repeat([0.0, 1.0], len(YAWS)) if share is None else share
    out = []
    for yaw, part in zip(np.tile(YAWS, 2), share, strict=True):
        face = turned_face(yaw, size_px=PX_PER_MM * 180)
        turn = np.array([[np.cos(np.radians(yaw)), 0, np.sin(np.radians(yaw))], [0, 1, 0],
                         [-np.sin(np.radians(yaw)), 0, np.cos(np.radians(yaw))]])
        points = face.points_px + PX_PER_MM * (part * other @ turn + rng.normal(0, 0.3, (478, 3)))
        out.append(Measure(face=Face(points_px=points, spread_px=face.spread_px, presence=1.0), luma=130.0, clipped=0.0,
                           angles_deg=(float(yaw), 0.0, 0.0), sharpness=50.0, expression=CALM, smear=1.0, rims=0.03))
    return out


def test_another_face_is_found_at_the_moment_it_comes():
    found = meeting(film(1.5), TIMES, CORNERS_MM)
    assert found.two and abs(found.frame - len(YAWS)) <= 2
    with pytest.raises(InputRefused) as refused:
        refuse_another(film(1.5), TIMES, CORNERS_MM)
    assert refused.value.code == "two_people" and "2.0 s" in str(refused.value)


def test_one_face_stays_one_though_its_points_shake():
    found = meeting(film(0.0), TIMES, CORNERS_MM)
    assert not found.two and found.times < 1.3
    refuse_another(film(0.0), TIMES, CORNERS_MM)


def test_what_comes_slowly_and_stays_is_an_expression():
    grows = np.clip((np.arange(2 * len(YAWS)) - 50) / 20, 0, 1)
    assert not meeting(film(1.5, grows), TIMES, CORNERS_MM).two


def test_nothing_is_said_of_sides_that_are_seen_once():
    once = film(1.5)[2:15] + film(1.5)[-15:-2]  # one person to the left, another to the right
    assert meeting(once, TIMES[:len(once)], CORNERS_MM).frame == 0
    refuse_another([], (), CORNERS_MM)


def test_coming_nearer_does_not_make_another_face():
    bones = turned_face(0, size_px=720).points_px[list(BONES)]
    x = bones - bones.mean(0)

    def seen_from(px):
        return np.column_stack([x[:, :2] * px / (px + x[:, 2:]), x[:, 2]])

    near, far = seen_from(1500), seen_from(1900)
    assert apart(far, near) < 0.5 * np.sqrt(((near - far) ** 2).sum(1).mean())
