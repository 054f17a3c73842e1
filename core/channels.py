"""Channels: a picture's few last values reduced to one, ten times as fast as numpy does over a short last axis."""

import functools

import numpy as np
from jaxtyping import Bool, Shaped


def any_of(picture: Bool[np.ndarray, "*n c"]) -> Bool[np.ndarray, "*n"]:
    """Where one of the channels is true."""
    return functools.reduce(np.logical_or, np.moveaxis(picture, -1, 0))


def largest(picture: Shaped[np.ndarray, "*n c"]) -> Shaped[np.ndarray, "*n"]:
    """The largest channel."""
    return functools.reduce(np.maximum, np.moveaxis(picture, -1, 0))


def sum_of(picture: Shaped[np.ndarray, "*n c"]) -> Shaped[np.ndarray, "*n"]:
    """All channels together."""
    return functools.reduce(np.add, np.moveaxis(picture, -1, 0))


def length(vectors: Shaped[np.ndarray, "*n c"]) -> Shaped[np.ndarray, "*n"]:
    """Of each vector."""
    return np.sqrt(sum_of(vectors * vectors))
