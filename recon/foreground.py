"""The person in a picture: MediaPipe's selfie segmentation, whose weights are inside the mediapipe wheel."""

import threading

import numpy as np
from jaxtyping import Bool, UInt8

from recon.networks import answers, content, mediapipe

THRESHOLD = 0.5


class Foreground:
    """Keeps the network loaded; call it with a picture, from any thread."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._net = mediapipe().solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)

    def __call__(self, picture: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
        """True on the person, hair and clothes included."""
        with self._one_at_a_time:
            out = answers(self._net, image=np.ascontiguousarray(picture))
            mask: np.ndarray = content(self._net, out, "segmentation_mask")
        return mask > THRESHOLD
