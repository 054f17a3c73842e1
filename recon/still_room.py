"""Still room: cameras from the whole picture, for a phone that moves around a head that keeps still.

Then the room is as still as the head, and shows more corners than skin does in a small or blurred film. Whether the
head kept still is not asked but tested: cameras that the room tells must be those that the landmarks tell, and the
landmarks, laid where those cameras see them, must fall on their pictures about as well as under cameras of their own.
Of a head that turns before a still room neither is true.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pycolmap
from jaxtyping import Float, UInt8

from core.progress import Progress, part, silent
from recon.bundle import Bundle
from recon.head_frame import triangulated
from recon.observations import Observations
from recon.settle import settle
from recon.sfm import (
    Motion,
    Rejected,
    SfmOptions,
    believed,
    compare,
    features,
    imported,
    mapped,
    pipeline,
)
from recon.skin import without

ROOM = SfmOptions(turn_rad=0.1)
"""A narrow limit for the turn: a head that turns is not where the room says it is."""
MOST_UNREST = 1.6
"""See `unrest`: 1.3 where the head kept still (a film and a rendered one), 1.6 to 1.9 where it swayed by 3 degrees."""


def cameras_of_room(folder: Path, names: list[str], pictures: Callable[[int], UInt8[np.ndarray, "h w 3"]],
                    seen: Observations, start: Bundle, options: SfmOptions = ROOM,
                    progress: Progress = silent) -> Motion | Rejected:
    """Recover the cameras of the views from all that their pictures show but eyes and mouth; arguments as of
    `sfm.structure_from_motion`."""
    everything = [without(np.full((h, w), 255, np.uint8), points)
                  for (w, h), points in zip(seen.size_wh, seen.points_px, strict=True)]
    pycolmap.set_random_seed(options.seed)
    with tempfile.TemporaryDirectory(prefix="previsage-sfm-") as scratch:
        database, out = Path(scratch) / "database.db", Path(scratch) / "scene"
        out.mkdir()
        ids = imported(database, folder, names, seen, start.focal_px)
        found = features(database, ids, pictures, everything, options, part(progress, 0.0, 0.5))
        compare(database, scratch, names, start, options)
        progress(0.8, "Recovering the cameras from the room")
        try:
            scene, others = mapped(pipeline(options), database, folder, out)
            if scene is None:
                return Rejected(reason="too little of it could be matched between the views")
            settle(scene, options.least_length, options.points)
        except (RuntimeError, ValueError) as error:
            return Rejected(reason=f"mapping failed: {' '.join(str(error).split())}")
        motion = believed(scene, ids, seen, start, others, "the still room", found, options)
    if isinstance(motion, Motion) and unrest(motion, seen, start) > MOST_UNREST:
        return Rejected(reason="the head moved in the room")
    return motion


def unrest(motion: Motion, seen: Observations, start: Bundle) -> float:
    """Median error of the landmarks under the cameras of a motion, over that under the bundle's own cameras; each time
    they lie where those cameras see them."""
    def error(cams: Float[np.ndarray, "n 4 4"], focal_px: Float[np.ndarray, "g"]) -> float:
        rows = np.flatnonzero(motion.placed)
        marks = triangulated(cams, motion.placed, focal_px, seen, start)
        cam = np.einsum("nij,lj->nli", cams[rows, :3, :3], marks) + cams[rows, None, :3, 3]
        px = focal_px[seen.lens[rows], None, None] * cam[..., :2] / cam[..., 2:] + (seen.size_wh[rows, None] - 1) / 2
        off = np.linalg.norm(px - seen.points_px[rows], axis=2) / np.ptp(seen.points_px[rows, :, 1], axis=1)[:, None]
        return float(np.median(off[(start.weight[rows] > 0) & np.isfinite(off)]))

    return error(motion.cam_from_head, motion.focal_px) / error(start.cam_from_head, start.focal_px)
