"""MediaPipe comes without its drawing library, and leaves that library usable."""

import subprocess
import sys

import numpy as np
import pytest

from recon.landmark_net import points_in

ALONE = """
import sys
from recon.detect import Detector
Detector()
assert "mediapipe" in sys.modules
assert not [name for name in sys.modules if name.split(".")[0] in ("matplotlib", "sounddevice")]
"""
AFTERWARDS = """
import sys
from recon.networks import mediapipe
assert mediapipe().solutions.face_detection.FaceDetection
sys.modules["matplotlib"] = None  # as where it is not installed
assert mediapipe() is sys.modules["mediapipe"]
assert sys.modules.pop("matplotlib") is None
import matplotlib
assert matplotlib.__spec__ is not None and matplotlib.__version__
"""
BEFORE = """
import types, sys
drawing = sys.modules["matplotlib"] = types.ModuleType("matplotlib")
drawing.pyplot = sys.modules["matplotlib.pyplot"] = types.ModuleType("matplotlib.pyplot")
from recon.networks import mediapipe
mediapipe()
assert sys.modules["matplotlib"] is drawing
"""


def ran(program: str) -> None:
    """Run it in a process of its own, which has imported nothing yet."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_detector_does_not_bring_the_drawing_library():
    ran(ALONE)


def test_the_drawing_library_can_be_imported_afterwards():
    ran(AFTERWARDS)


def test_a_drawing_library_that_is_there_is_left_alone():
    ran(BEFORE)


def test_points_are_read_from_the_message_itself():
    from mediapipe.framework.formats.landmark_pb2 import NormalizedLandmark, NormalizedLandmarkList

    points = np.random.default_rng(2).normal(size=(478, 3)).astype(np.float32)
    message = NormalizedLandmarkList(landmark=[NormalizedLandmark(x=x, y=y, z=z) for x, y, z in points.tolist()])
    assert np.array_equal(points_in(message.SerializeToString()), points.astype(float))
    message.landmark[3].visibility = 0.5
    with pytest.raises(ValueError, match="another form"):
        points_in(message.SerializeToString())
