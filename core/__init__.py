"""The nouns of Previsage and their files. Imports nothing of ours; numpy, pydantic and Pillow only."""

from core.anatomy import Anatomy
from core.camera import Camera
from core.capture import Capture, Frame
from core.case import Case
from core.errors import InputRefused, PrevisageError, UsageError
from core.face_model import FaceModel, Posed, Shaped
from core.fragments import Fragments, Rasterize
from core.landmarks import MEDIAPIPE478, Landmarks2D, Landmarks3D
from core.mesh import Mesh
from core.plan import Plan, PlannedProcedure
from core.prediction import Landed, Prediction
from core.procedure import Handle, Procedure, Step
from core.progress import Progress, silent
from core.reconstruction import Reconstruction, Scale, View
from core.surface import SurfacePoints
from core.texture import Texture

__all__ = [
    "MEDIAPIPE478", "Anatomy", "Camera", "Capture", "Case", "FaceModel", "Fragments", "Frame", "Handle",
    "InputRefused", "Landed", "Landmarks2D", "Landmarks3D", "Mesh", "Plan", "PlannedProcedure", "Posed", "Prediction",
    "PrevisageError", "Procedure", "Progress", "Rasterize", "Reconstruction", "Scale", "Shaped", "Step",
    "SurfacePoints", "Texture", "UsageError", "View", "silent",
]
