"""Likeness: the user's identity network as the guard asks it."""

import numpy as np
from jaxtyping import Float, UInt8

from synth.guard import Embed
from synth.metrics.learned import ARCFACE, ARCFACE_PX, five_points
from synth.metrics.networks import MetricNetwork, aligned


def embedder(network: MetricNetwork, points_px: Float[np.ndarray, "478 2"]) -> Embed:
    """The network as `guard(..., embed=...)` takes it: pictures of one frame to vectors.

    network: `synth.metrics.networks.load_network("arcface.onnx", InputForm(side_px=112, low=-1, high=1))`. points_px:
    the 478 landmarks in the frame before the operation, projected from the head. Every picture is cut by these same
    points, never by detecting the face in it anew, which would hide what changed.
    """
    side = network.form.side_px or ARCFACE_PX
    template, five = (ARCFACE + 0.5) * side / ARCFACE_PX - 0.5, five_points(points_px)

    def embed(picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "d"]:
        return network.run(network.batch([aligned(picture, five, template, side)])).ravel()
    return embed
