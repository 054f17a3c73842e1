"""Laws, oracles and closed forms of the image metrics."""

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from core.errors import InputRefused
from synth.metrics import Tools, compare, frechet, nme, psnr_db, ssim, ssim_map, summary, zones
from synth.metrics.learned import frechet_of_gaussians, identity, lpips
from synth.metrics.networks import InputForm, MetricNetwork
from synth.metrics.plot import plot
from synth.metrics.summary import Row

H, W = 90, 110


def pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A picture and a noisy, slightly brighter one."""
    rng = np.random.default_rng(seed)
    one = cv2.GaussianBlur(rng.uniform(0, 255, (H, W, 3)), (0, 0), 2)
    one = np.clip((one - 127) * 3 + 127, 0, 255)
    return one.astype(np.uint8), np.clip(one + 6 + 9 * rng.standard_normal(one.shape), 0, 255).astype(np.uint8)


def patch() -> np.ndarray:
    """A mask with a hard edge."""
    mask = np.zeros((H, W))
    mask[25:70, 30:80] = 1.0
    return mask


# --- pixels ---------------------------------------------------------------------------------------------------------


def test_whole_pictures_agree_with_scikit_image():
    one, other = pair()
    assert psnr_db(one, other) == pytest.approx(peak_signal_noise_ratio(one, other), abs=1e-9)
    _, theirs = structural_similarity(one, other, channel_axis=-1, gaussian_weights=True, sigma=1.5,
                                      use_sample_covariance=False, data_range=255, full=True)
    np.testing.assert_allclose(ssim_map(one, other, np.ones((H, W), bool)), theirs.mean(-1), atol=1e-6)
    assert ssim(one, one) == pytest.approx(1, abs=1e-12) and psnr_db(one, one) == np.inf


def test_pixels_outside_have_no_say():
    one, other = pair()
    where = patch() > 0
    noise = np.random.default_rng(5).integers(0, 256, other.shape, dtype=np.uint8)
    spoiled = np.where(where[..., None], other, noise)
    assert psnr_db(one, spoiled, where) == psnr_db(one, other, where)
    assert ssim(one, spoiled, where) == pytest.approx(ssim(one, other, where), abs=1e-12)
    assert ssim(one, spoiled) < 0.6 * ssim(one, other), "the spoiled rest would show"


def test_masked_ssim_by_brute_force():
    """At one pixel of a ragged set: the window's weights on the set alone, summing to 1."""
    one, other = pair(1)
    where = np.random.default_rng(2).random((H, W)) > 0.4
    where[40, 50] = True
    k = np.exp(-np.arange(-5, 6)**2 / (2 * 1.5**2))
    weight = np.outer(k, k) * where[35:46, 45:56]
    weight /= weight.sum()
    told = []
    for c in range(3):
        a, b = (p[35:46, 45:56, c].astype(float) for p in (one, other))
        ma, mb = (weight * a).sum(), (weight * b).sum()
        va, vb = (weight * (a - ma)**2).sum(), (weight * (b - mb)**2).sum()
        cov = (weight * (a - ma) * (b - mb)).sum()
        c1, c2 = 2.55**2, 7.65**2
        told.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    assert ssim_map(one, other, where)[40, 50] == pytest.approx(np.mean(told), abs=1e-9)


def test_an_empty_set_is_no_number():
    one, other = pair()
    for metric in (psnr_db, ssim):
        with pytest.raises(ValueError, match="no pixel"):
            metric(one, other, np.zeros((H, W), bool))


# --- zones ----------------------------------------------------------------------------------------------------------


def test_zones_share_the_picture_out():
    soft = cv2.GaussianBlur(patch(), (0, 0), 4)
    soft[soft < 0.01] = 0
    for mask in (patch(), soft):
        found = zones(mask, (H, W))
        parts = [found[name] for name in ("inside", "boundary", "outside")]
        assert np.array_equal(sum(p.astype(int) for p in parts), np.ones((H, W), int))
        assert np.all(mask[found["inside"]] > 0.99) and np.all(mask[found["outside"]] == 0)
        assert found["boundary"][47, 30] and found["boundary"][47, 29] and not found["boundary"][47, 55]
    assert set(zones(None, (H, W))) == {"whole"}
    assert set(zones(np.ones((H, W)), (H, W))) == {"whole", "inside"}


# --- learned --------------------------------------------------------------------------------------------------------


def test_fid_of_gaussians_has_a_closed_form():
    """Covariances that commute: |m1 - m2|^2 + sum (sqrt a - sqrt b)^2 over their common axes."""
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.standard_normal((12, 12)))
    a, b, shift = rng.uniform(0.1, 4, 12), rng.uniform(0.1, 4, 12), rng.standard_normal(12)
    a[3] = b[5] = 0.0  # singular, as with fewer pictures than features
    value = frechet_of_gaussians(np.zeros(12), (axes * a) @ axes.T, shift, (axes * b) @ axes.T)
    assert value == pytest.approx((shift**2).sum() + ((np.sqrt(a) - np.sqrt(b))**2).sum(), rel=1e-6)


def test_fid_of_samples_is_near_their_distributions_and_zero_for_the_same():
    rng = np.random.default_rng(1)
    one, other = rng.normal(0, 1, (20000, 3)), rng.normal(0, 2, (20000, 3)) + np.array([1.0, 0, 0])
    assert frechet(one, other) == pytest.approx(1 + 3, rel=0.05)
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)
    few = rng.normal(0, 1, (5, 40))
    assert frechet(few, few) == pytest.approx(0, abs=1e-6) and np.isfinite(frechet(few, few + 1))
    assert frechet(few, few + 1) == pytest.approx(40, rel=1e-6)
    with pytest.raises(ValueError, match="two pictures"):
        frechet(few[:1], few)


def mean_colour() -> MetricNetwork:
    """A stand-in for the arithmetic of a network: the mean colour, as a map of features."""
    return MetricNetwork(run=lambda x: x, form=InputForm(side_px=None, low=0.0, high=1.0), title="colour")


def squared() -> MetricNetwork:
    return MetricNetwork(run=lambda x, y: ((x - y)**2).mean(1, keepdims=True), form=InputForm(side_px=None, low=-1.0,
                                                                                          high=1.0), title="squares")


def test_a_zone_is_judged_by_what_happened_in_it():
    one, _ = pair()
    other = one.copy()
    other[patch() > 0] //= 2
    tools = Tools(lpips=squared(), fid=mean_colour())
    found = compare(one, other, patch(), tools)
    assert found.values["lpips"]["outside"] == 0 < found.values["lpips"]["inside"] < found.values["lpips"]["whole"]
    assert found.values["lpips"]["inside"] + found.values["lpips"]["boundary"] == pytest.approx(
        found.values["lpips"]["whole"], rel=1e-5)
    assert found.equal == ("outside",) and found.values["psnr_db"]["outside"] is None
    assert found.values["ssim"]["outside"] == pytest.approx(1)
    first, second = found.features
    np.testing.assert_allclose(second["outside"], first)
    np.testing.assert_allclose(first, one.reshape(-1, 3).mean(0) / 255, rtol=1e-5)


def marks() -> np.ndarray:
    rng = np.random.default_rng(3)
    points = rng.uniform([20, 15], [90, 75], (478, 2))
    points[[33, 133, 159, 145]], points[[263, 362, 386, 374]] = (40.0, 35.0), (70.0, 35.0)
    points[4], points[61], points[291] = (55.0, 48.0), (45.0, 60.0), (65.0, 60.0)
    return points


def test_nme_is_a_share_of_the_eyes_distance_at_any_size():
    points = marks()
    assert nme(points + np.array([3.0, 0.0]), points) == pytest.approx(0.1)
    assert nme(7 * (points + np.array([3.0, 0.0])), 7 * points) == pytest.approx(0.1)
    where = patch() > 0
    inside = where[np.rint(points[:, 1]).astype(int), np.rint(points[:, 0]).astype(int)]
    assert nme(points + np.where(inside[:, None], [0.0, 6.0], 0.0), points, where) == pytest.approx(0.2)
    assert nme(points + np.where(inside[:, None], [0.0, 6.0], 0.0), points, ~where) == 0
    with pytest.raises(ValueError, match="no landmark"):
        nme(points, points, np.zeros((H, W), bool))
    with pytest.raises(ValueError, match="one place"):
        nme(points, np.ones((478, 2)))


def test_identity_sees_the_face_where_the_landmarks_are():
    """An embedding that is the aligned square itself: the same face, moved with its landmarks, is the same."""
    form = InputForm(side_px=112, low=-1.0, high=1.0)
    network = MetricNetwork(run=lambda x: x.reshape(len(x), -1), form=form, title="pixels")
    one, _ = pair()
    assert identity(network, one, one, marks()) == pytest.approx(1)
    assert identity(network, one, pair(9)[0], marks()) < 0.6
    first = network.batch([one])
    assert first.shape == (1, 3, 112, 112) and first.min() >= -1 and first.max() <= 1


def test_lpips_of_a_map_is_its_mean():
    one, other = pair()
    expected = np.mean(((one.astype(float) - other) / 127.5)**2)
    assert lpips(squared(), one, other) == pytest.approx(expected, rel=1e-4)


# --- pairs and groups -----------------------------------------------------------------------------------------------


def test_no_face_is_told_and_the_rest_goes_on():
    one, other = pair()
    found = compare(one, other, None, Tools(detect=lambda picture: None))
    assert "nme" not in found.values and "no face found in the first and the second picture" in found.notes[0]
    once = iter([marks(), None])
    assert "second picture: no NME" in compare(one, other, None, Tools(detect=lambda picture: next(once))).notes[0]


def test_what_cannot_be_compared_is_refused():
    one, other = pair()
    for second, mask, code in ((other[1:], None, "sizes_differ"), (other, patch()[1:], "mask_size"),
                               (other, np.zeros((H, W)), "mask_empty")):
        with pytest.raises(InputRefused) as refused:
            compare(one, second, mask, Tools())
        assert refused.value.code == code


def rows() -> list[Row]:
    made = []
    for k in range(6):
        one, other = pair(k)
        if k == 5:
            other = one.copy()
        compared = compare(one, other, patch(), Tools(fid=mean_colour(), lpips=squared()))
        made.append(Row(name=f"p{k}", procedure=("rhinoplasty", "mentoplasty")[k % 2],
                        skin=None if k == 0 else ("light", "dark")[k % 2], compared=compared))
    return made


def test_groups_hold_their_own_pictures():
    made, told = rows(), summary(rows())
    whole = told["all"]["all"]["psnr_db"]["whole"]
    assert whole["n"] == 5 and whole["equal"] == 1 and told["all"]["all"]["pictures"] == 6
    nose = [r.compared.values["ssim"]["inside"] for r in made if r.procedure == "rhinoplasty"]
    assert told["procedure"]["rhinoplasty"]["ssim"]["inside"]["mean"] == pytest.approx(np.mean(nose))
    assert told["procedure"]["rhinoplasty"]["ssim"]["inside"]["high"] == pytest.approx(max(nose))
    assert told["skin"]["dark"]["pictures"] == 3 and told["skin"]["light"]["pictures"] == 2
    fid = told["all"]["all"]["fid"]
    assert fid["whole"]["value"] > 0 and fid["whole"]["biased"] is False
    assert summary(made[:2])["all"]["all"]["fid"]["whole"]["biased"] is True


def test_the_plot_is_a_picture_with_a_panel_per_metric(tmp_path):
    drawn = plot(summary(rows()), "after against before")
    (tmp_path / "metrics.png").write_bytes(drawn)
    picture = cv2.imread(str(tmp_path / "metrics.png"))
    assert picture.shape[0] > 500 and (picture < 250).mean() > 0.02
    with pytest.raises(ValueError, match="nothing to draw"):
        plot({"all": {"all": {"pictures": 0}}}, "none")
