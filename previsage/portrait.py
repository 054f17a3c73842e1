"""The demo's head: a public-domain portrait fitted and put on the embedded head, so that a fresh clone films someone.

The portrait is NASA's picture of Eileen Collins (public domain), which scikit-image carries. Its face is 110 px high,
so it is enlarged, and a little fine grain is added to the skin: invented, and only so that the film has something to
focus on. What one frontal picture does not show (sides, back of the head) goes on as skin and hair.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
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
from recon.head import HeadOptions, metric, neutral, true_scale
from recon.models import load_model
from recon.observations import Observations
from recon.texture import TextureOptions, gather, layout, on_texels, pull_push
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
    bundle = adjust(model, seen, SMILING)
    scale, _ = true_scale(bundle, seen, HeadOptions(), lambda k: picture)
    mesh, cameras = metric(neutral(model, bundle), model.anatomy, bundle, seen, scale)
    smile_mm = np.tensordot(bundle.expression[0], model.expression_basis_mm, 1) * scale.mm_per_unit
    texture = gathered(mesh.moved(smile_mm), cameras[0], picture, side)
    return FilmedHead(mesh=mesh, texture=grained(completed(texture, mesh, model.anatomy)),
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


def gathered(mesh: Mesh, camera: Camera, picture: UInt8[np.ndarray, "h w 3"], side: int) -> Texture:
    """The portrait on the head; only what faces the camera, since at the sides there is hair."""
    options = TextureOptions(side=side, views=1, least_cosine=LEAST_COSINE)
    return gather(mesh, [camera], lambda k: picture, Foreground(), np.ones(1), rasterize, options)


def completed(texture: Texture, mesh: Mesh, anatomy: Anatomy) -> Texture:
    """Skin goes on as skin, hair as hair and white of the eye as white where the portrait shows none; no collar."""
    side = texture.seen.shape[0]
    flat, rgb, seen = layout(mesh, side), texture.rgb.astype(np.float32), texture.seen > 0

    def part(*names: str) -> Float[np.ndarray, "t t"]:
        weight = np.maximum.reduce([anatomy.region(name) for name in names])
        return on_texels(weight[:, None].astype(float), mesh, flat)[..., 0]

    eyes, ears, margin = part("eye_l", "eye_r"), part("ear_l", "ear_r"), side // 64
    colour = feathered(rgb, seen & (part("face") > 0.5) & (eyes < 0.5), margin)
    for share, border in ((part("scalp") * (1 - ears), margin), (eyes, 1)):
        colour += share[..., None] * (feathered(rgb, seen & (share > 0.5), border) - colour)
    return Texture(rgb=np.rint(np.clip(colour, 0, 255)).astype(np.uint8), seen=texture.seen)


def feathered(rgb: Float[np.ndarray, "t t 3"], known: Bool[np.ndarray, "t t"], margin: int) -> Float[
        np.ndarray, "t t 3"]:
    """The known colours without their outermost texels, fading over `margin` texels into what lies around them."""
    trusted = cv2.erode(known.astype(np.uint8), np.ones((margin + 1,) * 2, np.uint8), borderValue=0)
    inner = cv2.erode(trusted.astype(np.float32), np.ones((2 * margin + 1,) * 2), borderValue=0)
    share = (cv2.GaussianBlur(inner, (0, 0), margin / 2) * trusted)[..., None]
    return share * rgb + (1 - share) * pull_push(rgb, trusted > 0)


def grained(texture: Texture) -> Texture:
    """The skin with fine grain of two sizes, the same in every run."""
    rng = np.random.default_rng(0)
    height, width = texture.seen.shape
    fine = rng.normal(0, GRAIN, (height, width))
    coarse = np.asarray(Image.fromarray(rng.normal(0, GRAIN, (height // 4, width // 4)).astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC))
    grain = (fine + coarse)[..., None]
    return Texture(rgb=np.clip(texture.rgb + grain, 0, 255).round().astype(np.uint8), seen=texture.seen)
