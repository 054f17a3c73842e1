"""The demo's head: a public-domain portrait fitted and put on the embedded head, so that a fresh clone films someone.

The portrait is NASA's picture of Eileen Collins (public domain), which scikit-image carries. Its face is 110 px high,
so it is enlarged, and a little fine grain is added to the skin: invented, and only so that the film has something to focus
on. What one frontal picture does not show (sides, scalp) is filled from its surroundings.
"""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from core.errors import PrevisageError
from core.mesh import Mesh
from core.records import record
from core.texture import Texture

CROP = (84, 0, 372, 288)
"""Left, top, right, bottom of the face with its hair in the portrait, px."""
ENLARGED = 4
FOCAL_PX = 1100.0 * ENLARGED
"""The face's 110 px are about 180 mm; a portrait is taken from about 1.8 m: 110 / 180 * 1800."""
GRAIN = 4.0
"""Fine grain added to the skin, standard deviation in grey levels."""


@record
class FilmedHead:
    """What the film shows: mesh in the head frame (mm), its skin, the 478 landmarks on it."""

    mesh: Mesh
    texture: Texture
    landmarks478_mm: Float[np.ndarray, "478 3"]


def portrait() -> UInt8[np.ndarray, "h w 3"]:
    """The face, enlarged (Lanczos)."""
    from skimage import data

    left, top, right, bottom = CROP
    face = Image.fromarray(data.astronaut()).crop(CROP)
    return np.asarray(face.resize(((right - left) * ENLARGED, (bottom - top) * ENLARGED), Image.Resampling.LANCZOS))


def portrait_head(side: int = 2048) -> FilmedHead:
    """Fit the embedded head to the portrait and give it its skin; `side` texels."""
    from recon.bundle import adjust
    from recon.foreground import Foreground
    from recon.head import HeadOptions, metric, true_scale
    from recon.models import load_model
    from recon.texture import TextureOptions, gather
    from render.rasterize import rasterize

    picture, model = portrait(), load_model()
    seen = seen_in(picture)
    bundle = adjust(model, seen)
    scale, _ = true_scale(bundle, seen, HeadOptions(), lambda k: picture)
    mesh, cameras = metric(model, bundle, seen, scale)
    texture = gather(mesh, cameras, lambda k: picture, Foreground(), np.ones(1), rasterize,
                     TextureOptions(side=side, views=1), lining=model.anatomy.region("mouth_interior").astype(float))
    return FilmedHead(mesh=mesh, texture=grained(texture), landmarks478_mm=mesh.points(model.anatomy.pins478))


def seen_in(picture: UInt8[np.ndarray, "h w 3"]) -> "Observations":
    """One view's observations."""
    from recon.detect import Detector
    from recon.observations import Observations

    detector = Detector()
    face = detector.follow(picture, None, detector.boxes(picture))
    if face is None:
        raise PrevisageError("no_portrait", "No face was found in the demo's portrait.", "Install scikit-image again.")
    marks = face.landmarks()
    height, width = picture.shape[:2]
    return Observations(points_px=marks.points[None], visible=(marks.confidence[None] > 0.02).astype(float),
                        size_wh=np.array([[width, height]]), lens=np.zeros(1, int), focal_px=np.array([FOCAL_PX]),
                        focal_sd=np.array([0.05]))


def grained(texture: Texture) -> Texture:
    """The skin with fine grain of two sizes, the same in every run."""
    rng = np.random.default_rng(0)
    height, width = texture.seen.shape
    fine = rng.normal(0, GRAIN, (height, width))
    coarse = np.asarray(Image.fromarray(rng.normal(0, GRAIN, (height // 4, width // 4)).astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC))
    grain = (fine + coarse)[..., None]
    return Texture(rgb=np.clip(texture.rgb + grain, 0, 255).round().astype(np.uint8), seen=texture.seen)
