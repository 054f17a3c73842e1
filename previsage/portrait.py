"""The demo's head: a public-domain portrait fitted and put on the embedded head, so that a fresh clone films someone.

The portrait is NASA's picture of Eileen Collins (public domain), which scikit-image carries. Its face is 110 px high,
so it is enlarged, and a little fine grain is added to the skin: invented, and only so that the film has something to
focus on. What one frontal picture does not show (sides, back of the head) goes on as skin and hair.
"""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from core.anatomy import Anatomy
from core.camera import Camera
from core.errors import PrevisageError
from core.mesh import Mesh
from core.records import record
from core.texture import Texture
from recon.bundle import BundleOptions, adjust
from recon.detect import Detector
from recon.foreground import Foreground
from recon.models import load_model
from recon.observations import Observations
from recon.sight import SightOptions
from recon.texture import TextureOptions, gather
from recon.views import HeadOptions, Views, metric, true_scale
from render.rasterize import rasterize

CROP = (84, 0, 372, 288)
"""Left, top, right, bottom of the face with its hair in the portrait, px."""
ENLARGED = 4
FOCAL_PX = 1100.0 * ENLARGED
"""The face's 110 px are about 180 mm; a portrait is taken from about 1.8 m: 110 / 180 * 1800."""
SMILING = BundleOptions(expression_sd=0.5)
"""The person smiles, so the facial actions are free to explain it."""
LEAST_COSINE = 0.35
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
    """Fit the embedded head to the portrait and give it its skin; `side` texels.

    The skin is gathered on the smiling head, since the portrait smiles, and worn by the neutral one.
    """
    picture, model = portrait(), load_model()
    seen = seen_in(picture)
    views, bundle = Views(model, seen, lambda k: picture, rasterize), adjust(model, seen, SMILING)
    scale, _ = true_scale(views, bundle, HeadOptions())
    mesh, cameras = metric(views, views.neutral(bundle), model.anatomy, bundle, scale)
    smile_mm = np.tensordot(bundle.expression[0], model.expression_basis_mm, 1) * scale.mm_per_unit
    texture = gathered(mesh.moved(smile_mm), model.anatomy, cameras[0], picture, side)
    return FilmedHead(mesh=mesh, texture=grained(texture),
                      landmarks478_mm=mesh.points(model.anatomy.pins478))


def seen_in(picture: UInt8[np.ndarray, "h w 3"]) -> Observations:
    """One view's observations."""
    detector = Detector()
    face = detector.follow(picture, None, detector.boxes(picture))
    if face is None:
        raise PrevisageError("no_portrait", "No face was found in the demo's portrait.", "Install scikit-image again.")
    marks = face.landmarks()
    height, width = picture.shape[:2]
    return Observations(points_px=marks.points[None], visible=(marks.confidence[None] > 0.02).astype(float),
                        size_wh=np.array([[width, height]]), lens=np.zeros(1, int), focal_px=np.array([FOCAL_PX]),
                        focal_sd=np.array([0.05]))


def gathered(mesh: Mesh, anatomy: Anatomy, camera: Camera, picture: UInt8[np.ndarray, "h w 3"], side: int) -> Texture:
    """The portrait on the head; only what faces the camera, and not the ears: in the portrait hair hangs over them."""
    options = TextureOptions(side=side, views=1, sight=SightOptions(least_cosine=LEAST_COSINE))
    ears = np.maximum(anatomy.region("ear_l"), anatomy.region("ear_r")).astype(float)[:, None]
    hair = rasterize(mesh, camera).interpolate(ears, mesh.faces)[..., 0] > 0
    person = Foreground()(picture) & ~hair
    return gather(mesh, [camera], lambda k: picture, lambda p: person, np.ones(1), rasterize, options,
                  anatomy=anatomy).as_seen


def grained(texture: Texture) -> Texture:
    """The skin with fine grain of two sizes, the same in every run."""
    rng = np.random.default_rng(0)
    height, width = texture.seen.shape
    fine = rng.normal(0, GRAIN, (height, width))
    coarse = np.asarray(Image.fromarray(rng.normal(0, GRAIN, (height // 4, width // 4)).astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC))
    grain = (fine + coarse)[..., None]
    return Texture(rgb=np.clip(texture.rgb + grain, 0, 255).round().astype(np.uint8), seen=texture.seen)
