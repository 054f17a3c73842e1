"""Anchored noise: white and of unit variance in every view, and the same on the same skin."""

import numpy as np
import pytest

from synth.diffusion.noise import LEAST, free_noise, noise_texture, surface_noise, texels_for


def plane(dx_px: float, dy_px: float, turn_rad: float = 0.0, zoom: float = 1.0, narrow: float = 1.0) -> np.ndarray:
    """A disc of a plane, 2000 px to a unit of its texture: uv (512, 512, 2)."""
    y, x = np.mgrid[0:512, 0:512] - 255.5
    u = (np.cos(turn_rad) * x - np.sin(turn_rad) * y) * zoom * narrow + dx_px
    v = (np.sin(turn_rad) * x + np.cos(turn_rad) * y) * zoom + dy_px
    uv = np.stack([u, v], -1) / 2000 + 0.5
    uv[np.hypot(x, y) > 240] = np.nan
    return uv


VIEWS = [plane(0, 0), plane(3.3, 1.7), plane(8, 0), plane(12, 5, 0.05), plane(30, 0, narrow=0.8), plane(0, 0, zoom=1.3)]


@pytest.fixture(scope="module")
def seen() -> list[np.ndarray]:
    texture = noise_texture(1, texels_for(VIEWS))
    return [surface_noise(uv, texture, 1, number) for number, uv in enumerate(VIEWS)]


def test_every_view_sees_white_noise_of_unit_variance(seen):
    for z in seen:
        assert z.shape == (4, 64, 64) and z.dtype == np.float32
        assert abs(z.var() - 1) < 0.05 and abs(z.mean()) < 0.03  # 16 384 values: sd of the variance 0.011
        for shifted, own in ((z[:, :, 1:], z[:, :, :-1]), (z[:, 1:], z[:, :-1]), (z[1:], z[:-1])):
            assert abs((shifted * own).mean()) < 0.06
        assert abs((z**4).mean() / z.var() ** 2 - 3) < 0.2


def shared(a: np.ndarray, b: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two views' noise between the latent pixels that see the same skin (within half a pixel)."""
    from scipy.spatial import cKDTree

    places = [((uv[3::8, 3::8] + uv[4::8, 4::8]) / 2).reshape(-1, 2) for uv in (first, second)]
    finite = [np.isfinite(p).all(1) for p in places]
    distance, at = cKDTree(places[1][finite[1]]).query(places[0][finite[0]])
    near = distance < 4 / 2000
    values = [z.reshape(4, -1)[:, f] for z, f in zip((a, b), finite, strict=True)]
    return float(np.corrcoef(values[0][:, near].ravel(), values[1][:, at[near]].ravel())[0, 1])


def test_the_same_skin_has_the_same_noise_in_every_view(seen):
    found = [shared(seen[0], z, VIEWS[0], uv) for z, uv in zip(seen[1:], VIEWS[1:], strict=True)]
    assert min(found) > 0.45, found
    assert found[1] > 0.98, "a shift of one latent pixel moves the noise with it"
    free = [free_noise(1, n, 512) for n in range(2)]
    assert abs(shared(free[0], free[1], VIEWS[0], VIEWS[0])) < 0.03
    assert abs((seen[0] * seen[2]).mean()) < 0.06, "not the screen's, but the skin's"


def test_noise_hangs_on_seed_view_and_layer_only():
    uv, texture = VIEWS[1][:64, :64], noise_texture(1, 256)
    one = surface_noise(uv, texture, 1, 0)
    assert np.array_equal(one, surface_noise(uv, noise_texture(1, 256), 1, 0))
    assert not np.array_equal(one, surface_noise(uv, noise_texture(2, 256), 2, 0))
    assert not np.array_equal(noise_texture(1, 64), noise_texture(1, 64, layer=1))
    assert not np.array_equal(free_noise(1, 0, 64), free_noise(1, 1, 64))


def test_where_no_surface_is_seen_noise_is_free_and_of_unit_variance():
    nothing = np.full((512, 512, 2), np.nan)
    z = surface_noise(nothing, noise_texture(1, LEAST), 1, 0)
    assert abs(z.var() - 1) < 0.05 and texels_for([nothing]) == LEAST
    half = VIEWS[0].copy()
    half[:, :252] = np.nan
    assert abs(surface_noise(half, noise_texture(1, 1024), 1, 0).var() - 1) < 0.06
