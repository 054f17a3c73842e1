"""Skin tone: does the same person give the same angle from the front and from three quarters, in the same studio?

    python -m benchmarks.skin_tone FOLDER

FOLDER: the London stills (`NNN_02.jpg`, `_03`, `_04`: left three quarters, front, right three quarters). The table has
no names and no photo; people are numbered. Results: `benchmarks/skin_tone.md`.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from analysis.skin_tone import SkinTone, skin_tone
from benchmarks.symmetry import fitted
from core.errors import InputRefused
from recon.detect import Detector
from recon.models import load_model
from render.rasterize import rasterize

VIEWS = ("02", "03", "04")


def tone_of(path: Path, detector: Detector) -> SkinTone | str:
    """One photo's, or why there is none."""
    picture = np.asarray(Image.open(path).convert("RGB"))
    face = detector.follow(picture, None, detector.boxes(picture))
    if face is None:
        return "no face"
    bundle, seen = fitted(face, (picture.shape[1], picture.shape[0]))
    mesh = load_model().shape(bundle.identity).pose(bundle.expression[0]).mesh()
    try:
        return skin_tone(picture, face.landmarks(), bundle.camera(0, seen), mesh, rasterize)
    except InputRefused as error:
        return error.message


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder, detector = parser.parse_args().folder, Detector()
    people = sorted({p.name[:3] for p in folder.glob("*_03.jpg")})
    print("| person | left three quarters | front | right three quarters | 95 % from the front |")
    print("|---|---|---|---|---|")
    gaps, held = [], []
    for number, name in enumerate(people, 1):
        found = [tone_of(folder / f"{name}_{view}.jpg", detector) for view in VIEWS]
        front = found[1]
        cells = [f if isinstance(f, str) else f"{f.ita_deg:.0f}" for f in found]
        interval = "" if isinstance(front, str) else f"{front.low_deg:.0f} to {front.high_deg:.0f}"
        print(f"| {number} | {' | '.join(cells)} | {interval} |", flush=True)
        tones = [f for f in found if isinstance(f, SkinTone)]
        if len(tones) == len(VIEWS):
            left, middle, right = (f.ita_deg for f in tones)
            gaps.append([left - middle, right - middle, left - right])
            held += [tones[1].low_deg <= side <= tones[1].high_deg for side in (left, right)]
    rms = np.sqrt(np.mean(np.square(gaps), axis=0))
    print(f"\nRms difference, degrees: left from front {rms[0]:.1f}, right from front {rms[1]:.1f}, left from right "
          f"{rms[2]:.1f}; mean {np.mean(gaps, axis=0).round(1)}; "
          f"in the front's interval: {np.mean(held):.0%} of {len(held)}.")


if __name__ == "__main__":
    main()
