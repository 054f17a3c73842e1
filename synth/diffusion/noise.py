"""Noise that sticks to the surface, so that the views of a turntable agree.

One white texture lies over the head's texture coordinates. A latent pixel sees it through the samples (pixels of the
crop) that fall into it: with w_k the number of its samples on texel k and n_k that texel's noise,
    z = sum_k w_k n_k / sqrt(sum_k w_k^2)
which is N(0, 1) whatever the view, nearly white within a view, and correlated between views by the texels they share
(the discrete form of integrating noise over a pixel's footprint: Chang et al., How I Warped Your Noise, ICLR 2024).
Samples that see no surface together take one texel of the view's own.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

CHANNELS = 4
"""Of a latent."""
LATENT_PX = 8
"""Pixels of the crop to a latent pixel's side."""
TEXEL_PX = 2.0
"""Wanted side of a texel in pixels of the crop: several to a latent pixel, and found again by other views."""
LEAST, MOST = 64, 4096


def texels_for(uvs: Sequence[Float[np.ndarray, "h w 2"]]) -> int:
    """Side of the noise texture for a set of views (uv NaN where no surface is seen): a power of two."""
    steps = [s for uv in uvs for s in pixel_steps(uv)]
    if not steps:
        return LEAST
    return int(np.clip(2 ** np.round(np.log2(1 / (TEXEL_PX * np.median(steps)))), LEAST, MOST))


def pixel_steps(uv: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "n"]:
    """By how much uv changes from a pixel to the next, seams left out."""
    across = np.linalg.norm(np.diff(uv[::4], axis=1), axis=2).ravel()
    seen = across[np.isfinite(across) & (across > 0)]
    return seen[seen < 10 * np.median(seen)] if len(seen) else seen


def noise_texture(seed: int, texels: int, layer: int = 0) -> Float[np.ndarray, "n 4"]:
    """White noise (texels^2, 4); `layer` numbers the textures that one seed gives."""
    drawn = np.random.default_rng([seed, 1, layer]).standard_normal((texels * texels, CHANNELS), np.float32)
    return np.asarray(drawn)


def surface_noise(uv: Float[np.ndarray, "h w 2"], texture: Float[np.ndarray, "n 4"], seed: int, view: int,
                  layer: int = 0) -> Float[np.ndarray, "4 y x"]:
    """The noise that a view sees; h and w are multiples of 8. `view` numbers the views of a set."""
    h, w = uv.shape[0] // LATENT_PX, uv.shape[1] // LATENT_PX
    side = int(round(np.sqrt(len(texture))))
    seen = np.isfinite(uv).all(2)
    cells = np.clip(np.where(np.isfinite(uv), uv, 0) * side, 0, side - 1).astype(np.int64)
    texel = np.where(seen, cells[..., 1] * side + cells[..., 0], side * side)
    rows, columns = np.indices(uv.shape[:2]) // LATENT_PX
    latent = rows * w + columns
    pairs, weight = np.unique((latent * (side * side + 1) + texel).ravel(), return_counts=True)
    of, at = pairs // (side * side + 1), pairs % (side * side + 1)
    own = np.random.default_rng([seed, 2, layer, view]).standard_normal((h * w, CHANNELS), np.float32)
    values = np.where((at == side * side)[:, None], own[of], texture[np.minimum(at, side * side - 1)])
    total = summed(of, weight[:, None] * values, h * w)
    norm = np.sqrt(np.bincount(of, weight.astype(float) ** 2, minlength=h * w))
    return np.ascontiguousarray((total / norm[:, None]).astype(np.float32).T.reshape(CHANNELS, h, w))


def summed(index: Int[np.ndarray, "p"], values: Float[np.ndarray, "p c"], count: int) -> Float[np.ndarray, "n c"]:
    """Rows summed by index."""
    return np.stack([np.bincount(index, values[:, c], minlength=count) for c in range(values.shape[1])], 1)


def free_noise(seed: int, view: int, size_px: int, layer: int = 0) -> Float[np.ndarray, "4 y x"]:
    """The noise of a view whose surface is not known."""
    side = size_px // LATENT_PX
    drawn = np.random.default_rng([seed, 2, layer, view]).standard_normal((CHANNELS, side, side), np.float32)
    return np.asarray(drawn)
