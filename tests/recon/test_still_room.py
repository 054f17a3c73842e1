"""Cameras from the whole picture: a phone that goes round a still head of plain skin; a head that turns in the room."""

import dataclasses
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from core.transforms import rotation_from_vector, umeyama
from recon.bundle import BundleOptions, adjust
from recon.models import load_model
from recon.sfm import Motion, Rejected
from recon.still_room import MOST_UNREST, cameras_of_room, unrest
from render.rasterize import rasterize
from tests.recon.heads import head_of, observed, person, sweep

SIZE_WH, VIEWS, FOCAL_PX, WALL_MM = (240, 320), 12, 304.0, 800.0


def room(camera, texture):
    """The inside of a painted ball around the origin, as the camera sees it."""
    x, y = np.meshgrid(np.arange(SIZE_WH[0]), np.arange(SIZE_WH[1]))
    ray = np.dstack([(x - camera.K_px[0, 2]) / FOCAL_PX, (y - camera.K_px[1, 2]) / FOCAL_PX, np.ones(x.shape)])
    ray = ray / np.linalg.norm(ray, axis=2, keepdims=True) @ camera.cam_from_head[:3, :3]
    near, centre = ray @ camera.position_mm, camera.position_mm @ camera.position_mm
    hit = camera.position_mm + (np.sqrt(near**2 - centre + WALL_MM**2) - near)[..., None] * ray
    height, width = texture.shape
    where = np.dstack([np.arctan2(hit[..., 0], -hit[..., 2]) / (2 * np.pi) + 0.5,
                       0.5 + np.arcsin(hit[..., 1] / WALL_MM) / np.pi]) * [width - 1, height - 1]
    return cv2.remap(texture, where.astype(np.float32), None, cv2.INTER_LINEAR)


def filmed(folder, of_room):
    """A head of plain skin before a room that is seen by the cameras `of_room`; pictures on disk and the truth."""
    model, rng = load_model(), np.random.default_rng(5)
    mesh, cameras = head_of(model, person(model, seed=31, sd=0.7)), sweep(
        VIEWS, yaw_deg=28.0, size_wh=SIZE_WH, focal_px=FOCAL_PX)
    noise = sum(cv2.resize(rng.normal(0, 1, (s, 2 * s)), (3000, 1500), interpolation=cv2.INTER_CUBIC)
                for s in (60, 140))
    texture = np.clip(120 + 35 * noise, 0, 255).astype(np.float32)
    pictures, names = [], []
    for k, camera in enumerate(cameras):
        picture = np.where(rasterize(mesh, camera).covered, 150, room(of_room(cameras, k), texture))
        grey = np.clip(picture + rng.normal(0, 0.5, picture.shape), 0, 255).astype(np.uint8)
        pictures.append(np.repeat(grey[..., None], 3, 2))
        names.append(f"{k:02d}.png")
        Image.fromarray(pictures[-1]).save(folder / names[-1], compress_level=1)
    seen = observed(model, mesh, cameras, noise_px=0.5, seed=34)
    return SimpleNamespace(cameras=cameras, pictures=pictures, names=names, folder=folder, seen=seen,
                           bundle=adjust(model, seen, BundleOptions(modes=40)))


def recovered(film):
    return cameras_of_room(film.folder, film.names, film.pictures.__getitem__, film.seen, film.bundle)


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    film = filmed(tmp_path_factory.mktemp("still"), lambda cameras, k: cameras[k])
    return film, recovered(film)


def test_a_phone_that_goes_round_a_still_head_is_placed_by_the_room(still):
    film, motion = still
    assert isinstance(motion, Motion), motion
    assert motion.placed.all()
    truth = np.stack([c.cam_from_head for c in film.cameras])
    ours, theirs = ([-c[:3, :3].T @ c[:3, 3] for c in cams] for cams in (motion.cam_from_head, truth))
    size, turn, shift = umeyama(np.array(ours), np.array(theirs))
    assert np.linalg.norm(size * np.array(ours) @ turn.T + shift - theirs, axis=1).max() < 1.0
    relative = motion.cam_from_head[:, :3, :3] @ turn.T @ truth[:, :3, :3].transpose(0, 2, 1)
    angle = np.degrees(np.arccos(np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert np.median(angle) < 0.1


def test_a_head_that_turns_in_the_room_is_refused(tmp_path):
    """The phone goes round the room half as far as the head turns before it."""
    def half(cameras, k):
        return cameras[VIEWS // 4 + k // 2]

    found = recovered(filmed(tmp_path, half))
    assert isinstance(found, Rejected) and found.reason


def test_swaying_cameras_are_told_by_the_landmarks(still):
    film, motion = still
    assert unrest(motion, film.seen, film.bundle) < MOST_UNREST
    sway = np.radians(8) * np.sin(np.arange(VIEWS))
    cams = np.array(motion.cam_from_head)
    for cam, angle in zip(cams, sway, strict=True):
        cam[:3, :3] = cam[:3, :3] @ rotation_from_vector(np.array([0, angle, 0]))
    assert unrest(dataclasses.replace(motion, cam_from_head=cams), film.seen, film.bundle) > MOST_UNREST
