"""Texture and Fragments: bilinear sampling and interpolation against closed forms."""

import numpy as np
import pytest

from core.fragments import Fragments
from core.texture import Texture
from tests.core.builders import cube, sphere, texture


def ramp(height: int, width: int) -> Texture:
    """Red grows with the column, green with the row: colour = 2 x, 3 y."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[..., 0], rgb[..., 1] = 2 * np.arange(width), 3 * np.arange(height)[:, None]
    return Texture(rgb=rgb, seen=np.full((height, width), 255, np.uint8))


def test_a_linear_picture_is_sampled_exactly() -> None:
    """uv (0, 0) is the corner of the picture, so the first pixel's centre lies at half a pixel."""
    picture = ramp(20, 50)
    uv = np.random.default_rng(10).uniform([0.5 / 50, 0.5 / 20], [49.5 / 50, 19.5 / 20], (100, 2))
    colors = picture.sample(uv)
    np.testing.assert_allclose(colors[:, 0], 2 * (uv[:, 0] * 50 - 0.5), atol=1e-9)
    np.testing.assert_allclose(colors[:, 1], 3 * (uv[:, 1] * 20 - 0.5), atol=1e-9)


def test_pixel_centres_give_the_pixels() -> None:
    picture = texture(np.random.default_rng(11), 7, 9)
    x, y = np.meshgrid((np.arange(9) + 0.5) / 9, (np.arange(7) + 0.5) / 7)
    sampled = picture.sample(np.stack([x, y], -1).reshape(-1, 2)).reshape(7, 9, 3)
    np.testing.assert_allclose(sampled, picture.rgb, atol=1e-9)


def test_outside_is_the_edge() -> None:
    picture = ramp(20, 50)
    np.testing.assert_allclose(picture.sample(np.array([[-3.0, -3], [5, 5]])), [[0, 0, 0], [98, 57, 0]])


def test_one_pixel_is_one_colour() -> None:
    picture = Texture(rgb=np.full((1, 1, 3), 77, np.uint8), seen=np.zeros((1, 1), np.uint8))
    np.testing.assert_array_equal(picture.sample(np.array([[0.2, 0.9], [1.0, 0.0]])), 77)


def test_vertex_colours_come_from_the_vertex() -> None:
    mesh, picture = sphere(), ramp(64, 100)
    colors = picture.vertex_colors(mesh)
    equator = np.flatnonzero(np.abs(mesh.vertices_mm[:, 1]) < 1e-6)
    np.testing.assert_allclose(colors[equator, 1], 3 * 31.5, atol=1)
    front = np.argmax(mesh.vertices_mm[:, 2])
    np.testing.assert_allclose(colors[front, 0], 2 * 49.5, atol=1)


def fragments() -> Fragments:
    face = np.array([[-1, 3], [5, -1]])
    bary = np.array([[[0, 0, 0], [0.2, 0.3, 0.5]], [[1, 0, 0], [0, 0, 0]]])
    return Fragments(face=face, bary=bary, depth_mm=np.where(face < 0, np.inf, 400.0))


def test_fragments_interpolate_where_covered_and_are_zero_elsewhere() -> None:
    mesh, seen = cube(), fragments()
    picture = seen.interpolate(mesh.vertices_mm, mesh.faces)
    corners = mesh.vertices_mm[mesh.faces[3]]
    np.testing.assert_allclose(picture[0, 1], [0.2, 0.3, 0.5] @ corners, atol=1e-6)
    np.testing.assert_array_equal(picture[1, 0], mesh.vertices_mm[mesh.faces[5, 0]])
    np.testing.assert_array_equal(picture[~seen.covered], 0)
    np.testing.assert_array_equal(seen.covered, [[False, True], [True, False]])


def test_buffers_cannot_be_drawn_on() -> None:
    with pytest.raises(ValueError, match="read-only"):
        fragments().depth_mm[0, 0] = 1
