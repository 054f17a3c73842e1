"""LPIPS, identity and FID on networks that the user holds, in all and by zone.

A zone is judged by substitution: the second picture outside the zone is replaced by the first, so what is left of the
distance is the zone's own doing. It is the same rule for every network, whatever shape its output has.

FID: two sets of pictures as Gaussians of the network's features (M. Heusel et al., NeurIPS 2017):
    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)),   tr (S1 S2)^(1/2) = sum of the roots of eig(S1^(1/2) S2 S1^(1/2)),
whose matrix is symmetric and positive semi-definite, so the root is real and stable, even of singular covariances.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.linalg import eigh, eigvalsh

from core.records import record
from synth.metrics.networks import MetricNetwork, aligned

ARCFACE = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])
"""Where ArcFace's networks expect eyes, tip and mouth corners on 112 px (insightface), picture-left first."""
ARCFACE_PX = 112


def substituted(first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"], where: Bool[np.ndarray, "h w"],
                ) -> UInt8[np.ndarray, "h w 3"]:
    """The second picture in the zone, the first elsewhere."""
    return np.where(where[..., None], second, first)


def lpips(network: MetricNetwork, first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]) -> float:
    """Learned perceptual distance (R. Zhang et al., CVPR 2018); 0 for equal pictures. The network takes both.

    A network that gives a map is averaged.
    """
    return float(np.mean(network.run(network.batch([first]), network.batch([second]))))


def five_points(points_px: Float[np.ndarray, "478 2"]) -> Float[np.ndarray, "5 2"]:
    """Eyes, tip of the nose and mouth corners of MediaPipe's 478, picture-left first."""
    eyes = [points_px[list(ring)].mean(0) for ring in ((33, 133, 159, 145), (263, 362, 386, 374))]
    return np.stack([*eyes, points_px[4], points_px[61], points_px[291]])


def identity(network: MetricNetwork, first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"],
             points_px: Float[np.ndarray, "478 2"]) -> float:
    """Cosine of the embeddings of the face in two pictures of one frame; 1 is the same. ValueError: no place for it."""
    side = network.form.side_px or ARCFACE_PX
    template = (ARCFACE + 0.5) * side / ARCFACE_PX - 0.5
    faces = [aligned(p, five_points(points_px), template, side) for p in (first, second)]
    a, b = (network.run(network.batch([face])).ravel().astype(float) for face in faces)
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))


def features(network: MetricNetwork, picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "d"]:
    """One picture's features; maps are averaged over their pixels."""
    found = network.run(network.batch([picture]))[0].astype(float)
    return found.reshape(found.shape[0], -1).mean(1) if found.ndim > 1 else found


def frechet(one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m d"]) -> float:
    """Frechet distance of two sets of features. ValueError: fewer than two pictures in a set."""
    if min(len(one), len(other)) < 2:
        raise ValueError("FID needs two pictures at least, and thousands to mean something")
    (m1, s1), (m2, s2) = ((x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))) for x in (one, other))
    return frechet_of_gaussians(m1, s1, m2, s2)


def frechet_of_gaussians(m1: Float[np.ndarray, "d"], s1: Float[np.ndarray, "d d"], m2: Float[np.ndarray, "d"],
                         s2: Float[np.ndarray, "d d"]) -> float:
    """The formula above; never negative."""
    values, vectors = eigh(s1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    middle = root @ s2 @ root
    shared = np.sqrt(np.maximum(eigvalsh((middle + middle.T) / 2), 0)).sum()
    return max(float(np.sum((m1 - m2)**2) + np.trace(s1) + np.trace(s2) - 2 * shared), 0.0)


@record
class Gathered:
    """Features of the pictures of one group: of the first pictures, and of the second ones by zone."""

    first: list[Float[np.ndarray, "d"]]
    second: dict[str, list[Float[np.ndarray, "d"]]]

    def fid(self) -> dict[str, float]:
        """FID by zone, of zones that every picture of the group has."""
        count = len(self.first)
        return {zone: frechet(np.stack(self.first), np.stack(rows)) for zone, rows in self.second.items()
                if len(rows) == count and count > 1}
