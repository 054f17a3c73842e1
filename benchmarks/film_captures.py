"""Film test captures with known truth that no part of the project was tuned on, from data outside the project.

    OMP_NUM_THREADS=1 python benchmarks/film_captures.py --tools ../shared/tools --data ../shared/data \\
        --ict ICT-FaceKit -o FOLDER [NAME ...]

Without names every film is made, in the order of `captures.md`, which says what each one is. Each becomes
FOLDER/NAME with `video.mp4`, `truth.npz` (keys of head_capture.py) and `film.json`; one that is there is left alone.
--tools holds head_capture.py, --data the captures and scans, --ict a checkout of github.com/ICT-VGL/ICT-FaceKit.
A film takes about two minutes of one processor; open3d's and x264's own threads are off, and it runs at low priority.
--contact draws a sheet of the films that are there.
"""

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.capture_heads as heads  # noqa: E402  (the repository need not be installed)
import benchmarks.capture_scans as scans  # noqa: E402
from benchmarks.filming import Actor, Shot, film  # noqa: E402

MIT, CC_BY, APACHE = ("ICT-FaceKit, MIT, (c) 2020 USC Institute for Creative Technologies",
                      "CC BY 3.0, (c) Infinite-Realities / Lee Perry-Smith", "MeshMonk, Apache-2.0, (c) 2017 WebMonks")
CHIN = 152


@dataclass(frozen=True)
class Material:
    """What the films are made from."""

    tool: ModuleType
    data: Path
    ict: heads.IctFolder

    def capture(self, number: int) -> Path:
        """Folder of one of the three captures."""
        return self.data / f"capture_{number}"

    def landmarks(self, number: int) -> np.ndarray:
        """True landmarks of a capture, (478, 3) mm."""
        with np.load(self.capture(number) / "truth.npz") as truth:
            return truth["landmarks478"]


@dataclass(frozen=True)
class Film:
    """One film: its head, its shot, what is said of it."""

    what: str
    actor: Callable[[Material], Actor]
    shot: Shot
    licence: str = MIT
    note: dict[str, Any] = field(default_factory=dict)


def identity(paint: int, seed: int, deviation: float) -> Callable[[Material], Actor]:
    """A new ICT identity in a capture's paint."""
    return lambda m: heads.new_identity(heads.painted(m.capture(paint)), m.ict, seed, deviation)


def same(number: int) -> Callable[[Material], Actor]:
    """The head of a capture, filmed again."""
    return lambda m: heads.actor_of(heads.painted(m.capture(number)), noise_seed=number, facts={"head": number})


def expressive(m: Material) -> Actor:
    """Capture 101's head: a slight smile, the chin 3 mm down."""
    head = heads.painted(m.capture(101))
    heads.identity_of_paint(head, m.ict)
    jaw = heads.jaw_weight(head, m.ict, m.landmarks(101)[CHIN], 3.0)
    return heads.with_expression(same(101)(m), m.ict, heads.smile_and_open(0.35, jaw),
                                 {"mouthSmile": 0.35, "jawOpen": round(jaw, 4), "chin_moves_mm": 3.0})


def blinking(m: Material) -> Actor:
    """Capture 103's head: two blinks, each over eleven frames."""
    heads.identity_of_paint(heads.painted(m.capture(103)), m.ict)
    return heads.with_expression(same(103)(m), m.ict, heads.blinks((0.10, 0.46), 0.062),
                                 {"blink_phases": [0.10, 0.46]})


def bespectacled(m: Material) -> Actor:
    """Capture 103's head in spectacles."""
    return heads.with_glasses(same(103)(m), m.landmarks(103))


FILMS = {
    "id_201": Film("new identity, nearer, light from a window", identity(102, 201, 0.9),
                   Shot(seed=1201, distance_mm=380.0, light="window")),
    "id_202": Film("new identity, farther, less turn, light from above", identity(103, 202, 0.9),
                   Shot(seed=1202, distance_mm=500.0, yaw_deg=55.0, light="ceiling")),
    "id_203": Film("new identity with strong features", identity(101, 203, 1.5), Shot(seed=1203)),
    "id_311": Film("new identity, 1080 x 1920, light from a window", identity(101, 311, 1.2),
                   Shot(seed=2311, width=1080, height=1920, distance_mm=420.0, yaw_deg=60.0, light="window", crf=23)),
    "id_312": Film("new identity, near, a lens that bends, light from above", identity(102, 312, 1.0),
                   Shot(seed=2312, distance_mm=360.0, yaw_deg=70.0, light="ceiling", k1=-0.04)),
    "id_313": Film("new identity with strong features, far, less turn, the gain drifts", identity(103, 313, 1.3),
                   Shot(seed=2313, frames=150, distance_mm=480.0, yaw_deg=50.0, pitch_deg=12.0, light="window",
                        gain_swing=0.15)),
    "id_314": Film("new identity, motion blur and compression", identity(101, 314, 1.0),
                   Shot(seed=2314, distance_mm=450.0, shutter=0.25, crf=26)),
    "profile_201": Film("new identity, turned to full profile on both sides", identity(102, 201, 0.9),
                        Shot(seed=1211, distance_mm=420.0, yaw_deg=95.0, light="window", frames=120)),
    "profile_204": Film("new identity, turned to full profile on both sides", identity(103, 204, 1.1),
                        Shot(seed=1212, distance_mm=440.0, yaw_deg=92.0, frames=120)),
    "profile_lps": Film("scan of a real man's head, turned to full profile on both sides",
                        lambda m: scans.lps(m.data / "scan_lps"), Shot(seed=1213, distance_mm=450.0, yaw_deg=92.0,
                                                                       frames=120), CC_BY),
    "scan_lps_film": Film("scan of a real man's head with its own texture, eyes closed",
                          lambda m: scans.lps(m.data / "scan_lps"), Shot(seed=1301, distance_mm=460.0), CC_BY),
    "scan_meshmonk_film": Film("scan of a real man's head, painted here", lambda m: scans.meshmonk(
        m.data / "scan_meshmonk_demoface", m.tool), Shot(seed=1302, distance_mm=440.0), APACHE),
    "hard_expression": Film("slight smile and jaw 3 mm open in the middle", expressive, Shot(seed=1401)),
    "hard_blink": Film("two blinks", blinking, Shot(seed=1402)),
    "hard_blur": Film("motion blur, 1/60 s at 30 frames a second", same(101), Shot(seed=1403, shutter=0.5)),
    "hard_exposure": Film("gain drifts 0.7 to 1.3, white balance 6 %", same(103),
                          Shot(seed=1404, gain_swing=0.3, white_balance_swing=0.06)),
    "hard_540p": Film("540 x 960", same(101), Shot(seed=1405, width=540, height=960)),
    "hard_crf32": Film("strong compression", same(103), Shot(seed=1406, crf=32)),
    "hard_phone": Film("the phone goes round a still head, the room moves", same(101),
                       Shot(seed=1407, phone_moves=True)),
    "hard_35deg": Film("35 degrees of turn in all", same(103), Shot(seed=1408, yaw_deg=17.5, pitch_deg=8.0)),
    "hard_lens": Film("a lens that bends by 8 % at 45 degrees off its axis", same(101), Shot(seed=1410, k1=-0.08)),
    "hard_glasses": Film("spectacles without lenses; they are no part of the truth", bespectacled, Shot(seed=1409)),
}


def main() -> int:
    """0 when every film asked for is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FILMS))
    parser.add_argument("--tools", type=Path, required=True, help="folder with head_capture.py")
    parser.add_argument("--data", type=Path, required=True, help="folder with capture_101, scan_lps and the others")
    parser.add_argument("--ict", type=Path, required=True, help="checkout of ICT-FaceKit")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--contact", type=Path, help="write a JPEG with frames of every film that is there")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in FILMS]:
        parser.error(f"no film is called {', '.join(unknown)}")
    os.nice(10)
    material = Material(tool_of(given.tools / "head_capture.py"), given.data, heads.IctFolder(given.ict))
    for name in given.names or FILMS:
        if (given.output / name).exists():
            print(f"{name}: is there", flush=True)
            continue
        started = time.process_time()
        one = FILMS[name]
        note = {"name": name, "what": one.what, "licence": one.licence} | one.note
        film(material.tool, one.actor(material), one.shot, given.output / name, note)
        print(f"{name}: {time.process_time() - started:.0f} s of processor", flush=True)
    if given.contact:
        contact_sheet([given.output / name for name in FILMS if (given.output / name).is_dir()]).save(
            given.contact, quality=78)
    return 0


def contact_sheet(folders: list[Path], across: int = 4, tall: int = 108) -> Image.Image:
    """Three frames of each film, its head and its name: the first, the one turned far, one near the middle."""
    cells = []
    for folder in folders:
        with av.open(str(folder / "video.mp4")) as container:
            frames = [frame.to_image() for frame in container.decode(video=0)]
        strip = [cropped(frames[int(at * (len(frames) - 1))], tall) for at in (0.0, 0.3, 0.46)]
        cell = Image.new("RGB", (sum(f.width for f in strip), tall + 14), "white")
        for k, frame in enumerate(strip):
            cell.paste(frame, (k * frame.width, 14))
        ImageDraw.Draw(cell).text((2, 1), folder.name, fill="black")
        cells.append(cell)
    wide, high = cells[0].width + 6, cells[0].height + 4
    sheet = Image.new("RGB", (across * wide, -(-len(cells) // across) * high), "white")
    for k, cell in enumerate(cells):
        sheet.paste(cell, (k % across * wide, k // across * high))
    return sheet


def cropped(frame: Image.Image, tall: int) -> Image.Image:
    """The square that holds the head, at this height."""
    side, middle = frame.width, frame.height * 0.46
    return frame.crop((0, int(middle - side / 2), side, int(middle + side / 2))).resize((tall, tall))


def tool_of(path: Path) -> ModuleType:
    """head_capture.py as a module."""
    spec = importlib.util.spec_from_file_location("head_capture", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"{path} is not there.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
