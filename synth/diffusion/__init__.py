"""The generative modes: img2img, controlnet and controlnet_ip paint inside the mask, starting from warp3d's picture.

    loaded = load(options)                                   models that a person added, onto a device
    views = [canvas(name, warp3d, mask, camera, control, uv) for ...]
    painted = paint(views, loaded, options, ["rhinoplasty"])

torch and diffusers are imported by the first call that needs them.
"""

from synth.diffusion.crop import Crop, crop_around
from synth.diffusion.models import Loaded, load
from synth.diffusion.options import MODES, NEEDS, DiffusionOptions
from synth.diffusion.painter import Canvas, Painted, canvas, paint

__all__ = ["MODES", "NEEDS", "Canvas", "Crop", "DiffusionOptions", "Loaded", "Painted", "canvas", "crop_around", "load",
           "paint"]
