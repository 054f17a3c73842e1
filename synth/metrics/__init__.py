"""Image metrics: how far two pictures are apart, in all and by zone of the mask, and how two sets of them are.

    zones      inside, boundary and outside of a mask
    pixels     PSNR and SSIM
    places     NME of landmarks
    networks   TorchScript and ONNX files that the user holds
    learned    LPIPS, identity, FID on such networks
    compare    all of them on one pair
    summary    by procedure and skin type
    plot       the same as a picture
"""

from synth.metrics.compare import Tools, compare
from synth.metrics.learned import Gathered, frechet
from synth.metrics.pixels import psnr_db, ssim, ssim_map
from synth.metrics.places import nme
from synth.metrics.summary import summary
from synth.metrics.zones import ZONES, zones

__all__ = ["Gathered", "Tools", "ZONES", "compare", "frechet", "nme", "psnr_db", "ssim", "ssim_map", "summary", "zones"]
