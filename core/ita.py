"""Individual typology angle: how light skin is in a photo. A measure of the picture, not a Fitzpatrick type.

ITA = arctan((L - 50) / b) in degrees (A. Chardon, I. Cretois and C. Hourseau, Int. J. Cosmetic Science 13, 1991), with
classes at 55, 41, 28, 10 and -30 degrees (S. Del Bino and F. Bernerd, British J. Dermatology 169, 2013). Exposure and
white balance go into it in full: L off by 3 moves it by some 8 degrees.
"""

import numpy as np

CLASSES = ((55.0, "very light"), (41.0, "light"), (28.0, "intermediate"), (10.0, "tan"), (-30.0, "brown"))
DARKEST = "dark"


def ita_deg(L: float, b: float) -> float:
    """The angle of a mean skin colour in CIELAB (D65), in degrees; b is above 0 on skin."""
    return float(np.degrees(np.arctan2(L - 50, max(b, 1e-6))))


def ita_class(angle_deg: float) -> str:
    """The name of the class."""
    return next((name for least, name in CLASSES if angle_deg > least), DARKEST)
