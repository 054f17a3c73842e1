"""Millimetres: the fusion in closed form, which cues count, and cues made from points whose size is known."""

import cv2
import numpy as np
import pytest

from core.reconstruction import Scale
from recon.pupils import Distance
from recon.scale import (
    IPD_SD,
    IRIS_MM,
    IRIS_SD,
    LARGER_TOGETHER,
    MODEL_SD,
    NETWORK_WIDER,
    PINS_SD,
    Cue,
    fuse,
    ipd_cue,
    iris_cue,
)
from tests.recon.heads import camera_at

IRIS_Y_Z = (0.0, 8.0)
SKIN, WHITE, IRIS = 150, 215, 60


def cue(source: str, mm: float, sd: float) -> Cue:
    return Cue(source=source, mm_per_unit=mm, sd=sd)


def test_two_cues_meet_by_inverse_variance():
    """ln s = (ln a / sa^2 + ln b / sb^2) / (1/sa^2 + 1/sb^2), sd = (1/sa^2 + 1/sb^2)^-1/2."""
    scale = fuse([cue("ipd", 1.0, 0.04), cue("marker", 1.1, 0.02)])
    assert scale.mm_per_unit == pytest.approx(1.1 ** (4 / 5), rel=1e-12)
    assert scale.sd_relative == pytest.approx(0.04 / np.sqrt(5), rel=1e-12)
    assert scale.source == "ipd+marker"


def test_a_large_head_has_large_irises():
    """The expected size of a head whose iris says 6 % more than the model: the mean over all such people, drawn."""
    rng = np.random.default_rng(2)
    spread = LARGER_TOGETHER * MODEL_SD * IRIS_SD
    head, iris = rng.multivariate_normal([0, 0], [[MODEL_SD**2, spread], [spread, IRIS_SD**2]], 1_000_000).T
    found = 0.06  # ln(mm per unit) if the iris were of ordinary size, and so head - iris
    alike = np.abs(head - iris - found) < 0.002
    scale = fuse([cue("model", 1.0, MODEL_SD), cue("iris", float(np.exp(found)), IRIS_SD)])
    assert np.log(scale.mm_per_unit) == pytest.approx(head[alike].mean(), abs=0.001)
    assert scale.sd_relative == pytest.approx(head[alike].std(), rel=0.02)
    assert scale.source == "model+iris"


def test_order_does_not_matter_and_one_cue_is_itself():
    cues = [cue("model", 1.0, 0.05), cue("iris", 0.93, 0.03)]
    assert fuse(cues).mm_per_unit == pytest.approx(fuse(cues[::-1]).mm_per_unit, rel=1e-14)
    alone = fuse(cues[:1])
    assert (alone.mm_per_unit, alone.sd_relative) == pytest.approx((1.0, 0.05))


@pytest.mark.parametrize("source", ["marker", "ipd"])
def test_a_measured_cue_replaces_those_of_the_population(source):
    scale = fuse([cue("model", 1.0, MODEL_SD), cue("iris", 1.02, 0.04), cue(source, 1.2, 0.015)])
    assert scale.mm_per_unit == pytest.approx(1.2, rel=1e-12)
    assert scale.source == source
    assert scale.sd_relative == pytest.approx(0.015)


def test_marker_and_ipd_are_fused_with_each_other():
    scale = fuse([cue("model", 2.0, 0.045), cue("ipd", 1.0, 0.02), cue("marker", 1.21, 0.02)])
    assert scale.mm_per_unit == pytest.approx(1.1, rel=1e-12)
    assert scale.source == "ipd+marker"


def test_the_interval_is_two_sided_95_percent():
    rng = np.random.default_rng(0)
    scale = Scale(mm_per_unit=1.0, source="x", sd_relative=0.03)
    inside = np.abs(rng.normal(0, 0.03, 200_000)) < scale.interval95_percent / 100
    assert inside.mean() == pytest.approx(0.95, abs=0.002)


@pytest.mark.parametrize(("mm", "sd"), [(0.0, 0.01), (-1.0, 0.01), (np.nan, 0.01), (1.0, 0.0), (1.0, np.nan)])
def test_a_scale_without_size_or_spread_is_refused(mm, sd):
    with pytest.raises(ValueError, match="scale must"):
        Scale(mm_per_unit=mm, source="x", sd_relative=sd)


def irises(unit_mm: float, yaws_deg: list[float]):
    """Views of two discs of average iris size, in a world where one unit is `unit_mm`, as the network reads them (too
    wide): points, cameras, landmarks."""
    y, z = (value / unit_mm for value in IRIS_Y_Z)
    half = NETWORK_WIDER * IRIS_MM / 2 / unit_mm
    points = np.zeros((478, 3))
    for first, x in ((468, -31.7), (473, 31.7)):
        points[first] = [x / unit_mm, y, z]
    cameras = [camera_at(yaw, distance_mm=450 / unit_mm) for yaw in yaws_deg]
    seen = []
    for camera in cameras:
        across = camera.cam_from_head[0, :3] * half  # a disc shows its full width to every camera
        world = points.copy()
        for ends, centre in (((469, 471), 468), ((474, 476), 473)):
            world[ends[0]], world[ends[1]] = points[centre] - across, points[centre] + across
        seen.append(camera.px_from_points(world))
    return np.stack(seen), cameras, points


def drawn(points, cameras):
    """Pictures of these eyes: a dark disc in a white almond in skin, four times oversampled."""
    out = []
    for seen, camera in zip(points, cameras, strict=True):
        width, height = camera.size_wh
        y, x = np.mgrid[:4 * height, :4 * width] / 4 - 0.375
        picture = np.full(x.shape, SKIN, np.uint8)
        for a, b, centre in ((469, 471, 468), (474, 476, 473)):
            away, radius = np.stack([x, y], 2) - seen[centre], np.linalg.norm(seen[a] - seen[b]) / 2 / NETWORK_WIDER
            almond = np.hypot(away[..., 0] / 2.4, away[..., 1] / 0.95) < radius
            picture[almond] = WHITE
            picture[almond & (np.hypot(*np.moveaxis(away, 2, 0)) < radius)] = IRIS
        small = cv2.resize(picture, camera.size_wh, interpolation=cv2.INTER_AREA)
        noisy = small + np.random.default_rng(3).normal(0, 2, small.shape)
        out.append(np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, 2))
    return out


def said(points, cameras, landmarks, pictures=None, shut=False):
    """The cue of these views; without pictures of the eyes, of blank ones."""
    blank = [np.full((c.size_wh[1], c.size_wh[0], 3), SKIN, np.uint8) for c in cameras]
    return iris_cue(points, cameras, landmarks, np.full((len(cameras), 2), not shut),
                    (pictures or blank).__getitem__)


@pytest.mark.parametrize("unit_mm", [0.8, 1.0, 1.25])
def test_the_iris_tells_the_size(unit_mm):
    points, cameras, landmarks = irises(unit_mm, [-15, 0, 5, 40])
    found = said(points, cameras, landmarks)
    assert found.mm_per_unit == pytest.approx(unit_mm, rel=0.002)
    assert IRIS_SD < found.sd < 1.5 * IRIS_SD


@pytest.mark.parametrize("network", [0.88, 1.0, 1.15])
def test_the_limbus_in_the_picture_corrects_the_landmarks(network):
    """The landmarks draw the irises too small or too large; the pictures show what they are."""
    points, cameras, landmarks = irises(1.0, [-8, -4, 0, 5])
    pictures = drawn(points, cameras)
    for ends, centre in (((469, 471), 468), ((474, 476), 473)):
        for k in ends:
            points[:, k] = points[:, centre] + network * (points[:, k] - points[:, centre])
    with_eyes, without = said(points, cameras, landmarks, pictures), said(points, cameras, landmarks)
    assert with_eyes.mm_per_unit == pytest.approx(1.0, rel=0.012)
    assert without.mm_per_unit == pytest.approx(1 / network, rel=0.002)
    assert with_eyes.sd < without.sd


def test_shut_eyes_say_nothing():
    points, cameras, landmarks = irises(1.0, [-5, 0, 5])
    assert said(points, cameras, landmarks, drawn(points, cameras), shut=True) is None


def test_oblique_views_say_nothing_about_the_iris():
    points, cameras, landmarks = irises(1.0, [-35, 30])
    assert said(points, cameras, landmarks) is None
    points[0] += np.random.default_rng(1).normal(0, 40, points[0].shape)
    mixed, cameras2, _ = irises(1.0, [0, 2])
    both = said(np.concatenate([points, mixed]), cameras + cameras2, landmarks)
    assert both.mm_per_unit == pytest.approx(1.0, rel=0.002)


def test_irises_that_disagree_are_trusted_less():
    points, cameras, landmarks = irises(1.0, [-8, 0, 8])
    calm = said(points, cameras, landmarks).sd
    points[1, [469, 474]] += [6, 0]
    assert said(points, cameras, landmarks).sd > 1.1 * calm


def test_a_typed_distance_is_the_distance_of_the_pupils():
    landmarks = np.zeros((478, 3))
    landmarks[468], landmarks[473] = [-20, 1, 2], [20, 1, 2]
    found = ipd_cue(60.0, Distance(units=48.0, sd=0.006), landmarks)
    assert (found.source, found.mm_per_unit) == ("ipd", pytest.approx(1.25))
    assert found.sd == pytest.approx(np.hypot(IPD_SD, 0.006))
    unseen = ipd_cue(60.0, None, landmarks)
    assert (unseen.mm_per_unit, unseen.sd) == (pytest.approx(1.5), pytest.approx(np.hypot(IPD_SD, PINS_SD)))
