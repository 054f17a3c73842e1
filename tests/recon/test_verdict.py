"""Verdict: every check can be green and can fail, alone; drift from same-side pairs; films made worse on purpose."""

import av
import numpy as np
import pytest

from recon.detect import Face
from recon.drift import BOUNDS_MM, brightness, expressions, same_pose
from recon.eyes import eye_openings
from recon.face478 import EYE_HEIGHTS, IRIS_WIDTH, MOUTH_CORNERS, Expression
from recon.intake import take_in
from recon.quality import Measure, dark_lines, measure, smear
from recon.verdict import Check, Clip, Counts, checks, distance, lens_of, light_level, sentence, widest_gap
from tests.recon.media import astronaut, clip, detector, shared, turned_face

CALM = Expression(mouth=0.02, eye=0.3, brow=0.3, smile=0.9)
BIG = 400.0


def faced(points: np.ndarray) -> Face:
    return Face(points_px=points, spread_px=np.ones(478), presence=1.0)


def frame(yaw=0.0, pitch=0.0, sharpness=50.0, expression=CALM, luma=130.0, clipped=0.0, face=None, rims=0.03):
    return Measure(face=face or turned_face(0, size_px=BIG), angles_deg=(float(yaw), float(pitch), 0.0),
                   sharpness=float(sharpness), luma=float(luma), clipped=clipped, expression=expression, smear=1.0,
                   rims=rims)


def there_and_back(**options) -> list[Measure]:
    """A calm film: to the left, to the right, back, a nod; the face's points do not change."""
    yaws = np.concatenate([np.linspace(0, 60, 20), np.linspace(60, -60, 40), np.linspace(-60, 0, 20)])
    return [frame(yaw=y, **options) for y in yaws] + [frame(pitch=p, **options) for p in np.linspace(-15, 15, 10)]


def judged(measures, kind="video", chosen=None, with_face=None, size_wh=(720, 1280), bits=0.1, codec="h264"):
    chosen = list(range(len(measures)) if chosen is None else chosen)
    counts = Counts(given=len(measures), analysed=len(measures), with_face=with_face or len(measures),
                    chosen=len(chosen))
    facts = Clip(times_s=tuple(k / 30 for k in range(len(measures))), size_wh=size_wh, codec=codec,
                 bits_per_px=bits if kind == "video" else None)
    return {c.name: c for c in checks(kind, measures, chosen, counts, lens_of([None], [1280]), facts)}


def failing(measures, **options) -> dict[str, str]:
    return {name: c.level for name, c in judged(measures, **options).items() if c.level != "green"}


def moved(face: Face, **points: tuple[float, float]) -> Face:
    """The face with some points (p61=...) moved by px."""
    values = face.points_px.copy()
    for name, (x, y) in points.items():
        values[int(name[1:]), :2] += (x, y)
    return faced(values)


def shut(face: Face) -> Face:
    values = face.points_px.copy()
    for upper, lower in (pair for side in EYE_HEIGHTS for pair in side):
        values[upper] += 0.8 * (values[lower] - values[upper])
    return faced(values)


def test_a_calm_film_has_no_complaint_and_every_check_says_what_it_rests_on():
    found = judged(there_and_back())
    assert {c.level for c in found.values()} == {"green"} and len(found) == 19
    assert all(c.value and c.unit and c.bound and c.why and c.advice and np.isfinite(c.number) for c in found.values())
    assert sentence(list(found.values())) == ("good", "A good capture: nothing needs to be filmed again.")


def test_each_fault_is_found_alone():
    good = there_and_back()

    def every(**options):
        return [frame(yaw=m.angles_deg[0], pitch=m.angles_deg[1], **options) for m in good]

    assert failing(every(sharpness=2.0)) == {"sharpness": "red"}
    assert failing(every(luma=20.0)) == {"brightness of the face": "red"}
    assert failing(every(rims=0.6)) == {"glasses": "amber"}
    assert failing(every(face=turned_face(0, size_px=90))) == {"size of the face": "red", "distance": "amber"}
    assert failing(every(face=turned_face(0, size_px=1500))) == {"distance": "red"}
    assert failing(good, with_face=45) == {"face in view": "amber"}
    assert failing(good, size_wh=(540, 960)) == {"size of the picture": "amber"}
    assert failing(good, bits=0.013) == {"compression": "amber"}
    assert failing(good, bits=0.02, codec="hevc") == {}
    grin = Expression(mouth=0.3, eye=0.3, brow=0.3, smile=0.9)
    assert failing([frame(yaw=m.angles_deg[0], pitch=m.angles_deg[1], expression=grin if k % 3 == 0 else CALM)
                    for k, m in enumerate(good)]) == {"calm face": "amber"}


def test_turns():
    assert failing([m for m in there_and_back() if m.angles_deg[0] < 25]) == {"turn to the left": "amber"}
    small = [frame(yaw=m.angles_deg[0] / 3, pitch=m.angles_deg[1]) for m in there_and_back()]
    assert failing(small) == {"turn to the left": "amber", "turn to the right": "amber", "turn in all": "red"}
    assert failing([m for m in there_and_back() if m.angles_deg[1] == 0]) == {"nod": "amber"}
    far_apart = there_and_back()
    assert judged(far_apart, chosen=[0, 19, 59, 85, 89])["largest gap"].level == "red"
    photos = [frame(yaw=y) for y in (-35, -18, 0, 18, 35)]
    assert not failing(photos, kind="photos") and "nod" not in judged(photos, kind="photos")
    assert failing(photos[1:4], kind="photos")["turn in all"] == "red"


def test_smear_of_the_front_views():
    film = there_and_back()
    smeared = [m if k % 4 else Measure(**{**vars(m), "smear": 0.7}) for k, m in enumerate(film)]
    assert failing(smeared) == {"motion blur": "amber"}
    assert judged(smeared)["motion blur"].number == pytest.approx(0.3)


def test_light_that_drifts_between_two_sights_of_the_same_side():
    """Stops are factors of two; a shade that goes with the side and not with time is no drift."""
    gain = 2 ** (0.5 * np.arange(90) / 90)
    drifting = [frame(yaw=m.angles_deg[0], pitch=m.angles_deg[1], luma=100 * g)
                for m, g in zip(there_and_back(), gain, strict=True)]
    assert failing(drifting) == {"change of light": "amber"}
    assert 0.3 < judged(drifting)["change of light"].number < 0.5
    assert not failing([frame(yaw=m.angles_deg[0], pitch=m.angles_deg[1], luma=130 + m.angles_deg[0] / 2)
                        for m in there_and_back()])


def test_a_smile_in_the_middle_is_found_and_when():
    film = there_and_back()
    wide = moved(film[0].face, p61=(-8.0, 0.0), p291=(8.0, 0.0))
    smiling = [frame(yaw=m.angles_deg[0], pitch=m.angles_deg[1], face=wide if 30 <= k < 50 else None)
               for k, m in enumerate(film)]
    assert failing(smiling) == {"change of expression": "amber"}
    found = judged(smiling)["change of expression"]
    assert "width of the mouth" in found.unit and any(f"{k / 30:.1f} s" in found.advice for k in range(30, 50))
    corners = np.linalg.norm(np.subtract(*film[0].face.points_px[[33, 263]]))
    before, after = (np.linalg.norm(np.subtract(*f.points_px[list(MOUTH_CORNERS)])) for f in (film[0].face, wide))
    assert found.number == pytest.approx((after - before) / corners * 87.0, rel=1e-6)


def test_an_open_jaw_and_raised_brows():
    film = there_and_back()
    for part, change in (("height of the jaw", {"p152": (0.0, 40.0)}), ("gap of the lips", {"p14": (0.0, 15.0)}),
                         ("height of the brows", {"p105": (0.0, -12.0), "p334": (0.0, -12.0)})):
        other = moved(film[0].face, **change)
        mixed = [frame(yaw=m.angles_deg[0], pitch=m.angles_deg[1], face=other if 30 <= k < 50 else None)
                 for k, m in enumerate(film)]
        pairs = same_pose(mixed, [k / 30 for k in range(90)])
        beyond = {c.name for c in expressions(mixed, pairs, 87.0) if c.amount > BOUNDS_MM[c.name]}
        assert beyond == {part}


def test_pairs_are_of_the_same_side_and_apart_in_time():
    film = there_and_back()
    times = [k / 30 for k in range(len(film))]
    pairs = same_pose(film, times)
    angles = np.array([m.angles_deg[:2] for m in film])
    assert len(pairs) > 50 and (np.abs(angles[pairs[:, 0]] - angles[pairs[:, 1]]) < 4).all()
    assert (np.diff(np.array(times)[pairs]) >= 0.25).all()
    assert brightness(film, pairs).amount == 0
    one_way = [frame(yaw=y) for y in np.linspace(-60, 60, 90)]
    assert len(same_pose(one_way, times)) == 0 and "change of light" not in judged(one_way)


def test_blinks_and_eyes_shut_all_the_time():
    film = there_and_back()
    blinking = [frame(yaw=m.angles_deg[0], pitch=m.angles_deg[1], face=shut(m.face) if k in range(30, 42) else None)
                for k, m in enumerate(film)]
    assert failing(blinking) == {"eyes": "amber"} and judged(blinking)["eyes"].number == pytest.approx(78 / 90)
    asleep = [frame(yaw=m.angles_deg[0], pitch=m.angles_deg[1], face=shut(m.face)) for m in film]
    found = judged(asleep)["eyes"]
    assert found.value == "no iris seen" and found.level == "amber"
    assert "no iris seen: type the interpupillary distance" in sentence([found])[1]
    assert eye_openings(shut(film[0].face).points_px[None, :, :2]).max() < 0.1


def test_distance_by_the_iris_and_its_uncertainty():
    """Irises 23.42 px wide at f = 1000 px: 11.71 * 1000 / 23.42 = 500 mm; sd of a guessed lens 15 %, stated 2 %."""
    points = turned_face(0, size_px=BIG).points_px.copy()
    for a, b in IRIS_WIDTH:
        points[b] = points[a] + [23.42, 0, 0]
    seen = [frame(face=faced(points))] * 3
    stated = distance(seen, lens_of([None, 900.0, 1000.0, 1100.0], [1280] * 4))
    assert (stated.mm, stated.by) == (pytest.approx(500), "iris")
    assert stated.sd_mm == pytest.approx(500 * np.hypot(0.42 / 11.71, 0.02))
    assert distance(seen, lens_of([None], [1280])).sd_mm / stated.mm > 0.13
    asleep = distance([frame(face=shut(faced(points)))], lens_of([1000.0], [1280]))
    assert asleep.by == "eye corners"
    corners = np.linalg.norm(np.subtract(*points[[33, 263]]))
    assert asleep.mm == pytest.approx(87.0 * 1000 / corners)


def test_the_sentence_says_what_to_do():
    def check(name, value, level, advice):
        return Check(name=name, value=value, level=level, advice=advice, number=0.0, unit="u", bound="b", why="w")

    ok, soft = check("nod", "20°", "green", "Nod."), check("sharpness", "soft (9)", "amber", "Wipe the lens.")
    bad = check("brightness", "4 %", "red", "More light.")
    assert sentence([ok])[0] == "good"
    assert sentence([ok, soft]) == ("usable", "Usable; for a better result: wipe the lens (sharpness: soft (9)).")
    verdict, said = sentence([soft, ok, bad])
    assert verdict == "poor" and said.index("more light") < said.index("wipe")
    assert "2 more below" in sentence([bad] * 4)[1]


def test_light_levels():
    assert [light_level(v, c) for v, c in ((130.0, 0.0), (40.0, 0.0), (230.0, 0.0), (130.0, 0.1), (20.0, 0.0),
                                                (130.0, 0.3))] == [
        "green", "amber", "amber", "amber", "red", "red"]


def test_widest_gap():
    assert widest_gap(np.array([10.0, -20.0, 0.0])) == 20
    assert widest_gap(np.array([5.0])) == 0


def test_a_sideways_smear_of_a_real_face_is_seen_and_a_round_blur_is_not():
    import cv2

    rng = np.random.default_rng(0)
    big = cv2.resize(astronaut(), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC).astype(float)
    grain = cv2.GaussianBlur(rng.normal(0, 30, big.shape[:2]), (0, 0), 1.0)
    picture = np.clip(big + grain[..., None], 0, 255).astype(np.uint8)
    face = detector().follow(picture, None)
    pictures = (picture, cv2.blur(picture, (9, 1)), cv2.GaussianBlur(picture, (0, 0), 2))
    values = [measure(p, face).smear for p in pictures]
    assert values[1] < 0.85 * values[0] and values[2] == pytest.approx(values[0], abs=0.1)
    flat = np.full((50, 50), 90, np.uint8)
    assert smear(flat, np.ones((50, 50), bool)) == 1.0


def test_black_rims_drawn_on_a_real_face():
    import cv2

    face = detector().follow(astronaut(), None)
    assert dark_lines(astronaut(), face.points_px[:, :2]) < 0.13
    worn = astronaut().copy()
    points = face.points_px[:, :2]
    for outer, inner in ((33, 133), (263, 362)):
        centre = points[[outer, inner]].mean(0)
        cv2.circle(worn, tuple(np.rint(centre).astype(int).tolist()), round(13), (10, 10, 10), 2)
    bridge = [tuple(np.rint(points[k]).astype(int).tolist()) for k in (133, 362)]
    cv2.line(worn, *bridge, (10, 10, 10), 2)
    assert dark_lines(worn, face.points_px[:, :2]) > 0.25


@pytest.mark.parametrize("fault, name", [("gain", "change of light"), ("crf", "compression"), ("smear", "motion blur")])
def test_a_rendered_capture_made_worse(tmp_path, fault, name):
    import cv2

    with av.open(str(shared("capture_103/video.mp4"))) as film:
        frames = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
    if fault == "gain":
        gains = 1 + 0.3 * np.sin(np.linspace(0, 2 * np.pi, len(frames)))
        frames = [np.clip(f * g, 0, 255).astype(np.uint8) for f, g in zip(frames, gains, strict=True)]
    if fault == "smear":
        frames = [cv2.blur(f, (9, 1)) for f in frames]
    worse = clip(tmp_path / "v.mp4", frames, crf=36 if fault == "crf" else 18)
    (tmp_path / "capture").mkdir()
    quality = take_in([worse], tmp_path / "capture").quality
    assert quality["verdict"] == "usable" and name in quality["sentence"]
    assert [c["name"] for c in quality["checks"] if c["level"] != "green"] == [name]
