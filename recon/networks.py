"""MediaPipe, loaded without what it brings along for drawing and sound, which nothing here uses."""

import sys
from types import ModuleType

UNUSED = ("matplotlib", "matplotlib.pyplot", "sounddevice")
"""Half a second of a start. `mediapipe.python.solutions` imports the first two by name and calls them only to draw
landmarks; the last is for microphones."""


def mediapipe() -> ModuleType:
    """The package. ImportError: it is not installed."""
    kept = {name: sys.modules[name] for name in UNUSED if name in sys.modules}
    if "mediapipe" not in sys.modules and not kept:
        empty = {name: ModuleType(name, "Stood in while MediaPipe was imported.") for name in UNUSED}
        empty["matplotlib"].__dict__["pyplot"] = empty["matplotlib.pyplot"]
        sys.modules.update(empty)
    try:
        import mediapipe as package
    finally:
        for name in set(UNUSED) - set(kept):
            if sys.modules.get(name) is not None and sys.modules[name].__spec__ is None:
                del sys.modules[name]
    found: ModuleType = package
    return found
