"""A freckled person who turns before a plain wall: pictures on disk, landmarks, the true surface and cameras."""

import functools
from types import SimpleNamespace

import numpy as np
from PIL import Image

from recon.bundle import BundleOptions, adjust
from recon.models import load_model
from render.picture import PictureOptions, photograph
from render.rasterize import Rasterizer
from tests.recon.heads import freckled, head_of, observed, person, sweep

SIZE_WH, VIEWS = (420, 560), 18
WALL = PictureOptions(background=(96, 120, 150))


@functools.cache
def turning(folder) -> SimpleNamespace:
    """mesh, cameras, pictures, names (files under `folder`), seen, bundle (from the landmarks alone)."""
    model = load_model()
    mesh = head_of(model, person(model, seed=31, sd=0.7))
    cameras = sweep(VIEWS, yaw_deg=42.0, size_wh=SIZE_WH, focal_px=520.0)
    scene, skin, rng = Rasterizer(mesh), freckled(1024, seed=32), np.random.default_rng(33)
    pictures, names = [], []
    for k, camera in enumerate(cameras):
        picture = photograph(scene, camera, skin, WALL).astype(float) + rng.normal(0, 1.5, (SIZE_WH[1], SIZE_WH[0], 3))
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
        names.append(f"{k:02d}.png")
        Image.fromarray(pictures[-1]).save(folder / names[-1], compress_level=1)
    seen = observed(model, mesh, cameras, noise_px=0.6, seed=34)
    return SimpleNamespace(model=model, mesh=mesh, cameras=cameras, pictures=pictures, names=names, folder=folder,
                           seen=seen, bundle=adjust(model, seen, BundleOptions(modes=60)))
