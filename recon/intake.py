"""Intake: a video or photos become a Capture: upright chosen frames, their landmarks, and a verdict on their quality.

    folder/frames/*.jpg      the chosen frames, without any metadata
    folder/capture.json, landmarks.npz    (`recon.capture_folder`)
    folder/quality.json      verdict, checks with values and advice
    folder/quality.png       the same for people
"""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from core.capture import Capture
from core.errors import InputRefused, PrevisageError
from core.files import disk_errors, sha256, write_json
from core.progress import Progress, part, silent
from core.records import record
from recon.capture_folder import Candidate, Lost, load_capture, write_capture
from recon.decode import DecodeOptions, Video
from recon.detect import DetectOptions, Detector, Face
from recon.keyframes import KeyframeOptions, choose
from recon.photos import read_photo
from recon.probe import FROM_ONE_SIDE, MAKE_A_TURN, MAKE_A_VIDEO, Inputs, Limits, Sniffed, gather
from recon.quality import measure
from recon.same_person import refuse_another
from recon.sheet import draw_sheet
from recon.verdict import COPY_AGAIN, CORNERS_MM, Check, Clip, Counts, checks, lens_of, sentence

PENDING = 8
"""Frames of a film that may wait to be measured and written while the next ones are looked at."""
TRY_TURNS_EVERY = 8
"""While no face has been found, every so many frames the other three orientations are tried."""


@record
class IntakeOptions:
    """How a capture is taken in.

    least_turn_deg: total turn of the head below which 3D is refused. least_photos: the same for photos with a face.
    rivals: share of the looked-at frames with a second large face above which the capture is refused. rival_every: a
    video's frames are searched for a second face at this stride. photo_longest_px: larger photos are reduced.
    jpeg_quality: of the frames written. ends_deg: frames without a face are kept where the head was turned so far when
    the face was lost or found again; most_lost: so many at most.
    """

    limits: Limits = Limits()
    decode: DecodeOptions = DecodeOptions()
    detect: DetectOptions = DetectOptions()
    keyframes: KeyframeOptions = KeyframeOptions()
    least_turn_deg: float = 30.0
    least_photos: int = 3
    rivals: float = 0.15
    rival_every: int = 6
    photo_longest_px: int = 1920
    jpeg_quality: int = 97
    ends_deg: float = 45.0
    most_lost: int = 12


DEFAULTS = IntakeOptions()


@record
class Taken:
    """All candidates of a capture, and what happened on the way (sentences for people; facts for quality.json).
    lost: frames and photos without a face."""

    candidates: tuple[Candidate, ...]
    lost: tuple[Lost, ...] = ()
    given: int
    analysed: int
    notes: tuple[str, ...]
    facts: dict


def describe_inputs(inputs: Sequence[Path], limits: Limits = DEFAULTS.limits) -> list[tuple[str, str]]:
    """Name and checksum of every file that would be used: the key by which a stage knows its inputs."""
    return [(f.path.name, sha256(f.path)) for f in gather(inputs, limits).files]


def take_in(inputs: Sequence[Path], folder: Path, options: IntakeOptions = DEFAULTS,
            progress: Progress = silent) -> Capture:
    """Fill `folder` (existing, empty) with a capture; InputRefused, with what to do, when no 3D head can come of it."""
    found = gather(inputs, options.limits)
    with disk_errors(folder):
        (folder / "frames").mkdir()
    progress(0.0, "Loading the landmark detector")
    detector = Detector(options.detect)
    take = film if found.kind == "video" else album
    taken = take(found, folder, detector, options, part(progress, 0.03, 0.93))
    usable(taken, found, options)
    progress(0.94, "Choosing frames")
    capture = keep(taken, found, folder, options)
    progress(1.0, "Capture ready")
    return capture


def film(found: Inputs, folder: Path, detector: Detector, options: IntakeOptions, progress: Progress) -> Taken:
    """Decode a video and follow the face through it."""
    candidates: list[Future[Candidate]] = []
    without: list[Future[Lost]] = []
    last: Face | None = None
    turns = analysed = looked = rivals = 0
    hdr = False
    with Video(found.files[0], options.limits, options.decode) as video, ThreadPoolExecutor(1) as writer:
        for frame in video.frames():
            expected = max(1, min(video.packets, options.decode.frames))
            progress(min(analysed / expected, 1.0), f"Finding the face, frame {analysed + 1} of {expected}")
            hdr = hdr or frame.was_hdr
            if not candidates and analysed and analysed % TRY_TURNS_EVERY == 0:
                turns = detector.turns_to_upright([frame.picture])
                if turns:
                    without.clear()  # they were written lying down
            picture = np.ascontiguousarray(np.rot90(frame.picture, turns))
            boxes = detector.boxes(picture) if last is None or analysed % options.rival_every == 0 else []
            face = detector.follow(picture, last, boxes or None)
            if face is not None and boxes:
                looked += 1
                rivals += detector.has_rival(picture, face, boxes)
            if face is not None:
                candidates.append(writer.submit(candidate, folder, picture, face, options.jpeg_quality, analysed,
                                                f"{video.name}#{frame.index}", frame.time_s, None))
            else:
                without.append(writer.submit(lost_frame, folder, picture, options.jpeg_quality, analysed,
                                             f"{video.name}#{frame.index}", frame.time_s))
            for written in (candidates, without):
                if len(written) > PENDING:
                    written[-PENDING].result()  # neither pictures nor a full disk wait for the end
            last, analysed = face or last, analysed + 1
    refuse_rivals(rivals, looked, options)
    steady = without_glimpses([c.result() for c in candidates])
    refuse_another([c.measure for c in steady], [c.time_s for c in steady], CORNERS_MM)
    lost = tuple(f.result() for f in without)
    notes = film_notes(video, hdr, turns)
    return Taken(candidates=tuple(steady), lost=lost, given=video.decoded, analysed=analysed, notes=tuple(notes),
                 facts={"codec": video.facts.codec, "size_wh": video.facts.size_wh, "packets": video.packets,
                        "decoded": video.decoded, "damaged": video.damaged, "hdr_converted": hdr,
                        "quarter_turns": turns})


def without_glimpses(candidates: Sequence[Candidate], shortest: int = 3) -> list[Candidate]:
    """Drop faces that are seen for a moment only, or at a quite different size: the network was fooled."""
    if not candidates:
        return []
    usual = float(np.median([c.measure.face.height_px for c in candidates]))
    sized = [c for c in candidates if 0.5 < c.measure.face.height_px / usual < 2]
    breaks = np.flatnonzero(np.diff([c.order for c in sized]) > 1) + 1
    runs = np.split(np.arange(len(sized)), breaks)
    return [sized[k] for run in runs if len(run) >= shortest for k in run]


def at_the_ends(candidates: Sequence[Candidate], lost: Sequence[Lost], chosen: Sequence[int], options: IntakeOptions,
                ) -> list[Lost]:
    """Frames of the ends of a turn, where the face is lost, from the last chosen one before to the next one after it:
    those without a face, and those of a far turned head that were not chosen (its landmarks stop short of where it
    turns). Evenly thinned."""
    far = [Lost(order=c.order, path=c.path, source=c.source, time_s=c.time_s, size_wh=c.size_wh)
           for c in candidates if abs(c.measure.angles_deg[0]) > options.ends_deg]
    order = np.array([candidates[k].order for k in chosen])
    far = [f for f in far if f.order not in order]
    runs = runs_at_the_ends(candidates, [*lost, *far], {f.order for f in lost}, chosen, options)
    kept: list[Lost] = []
    for run in runs[:options.most_lost]:
        count = min(len(run), max(options.most_lost // len(runs), 1))
        kept.extend(run[k] for k in np.linspace(0, len(run) - 1, count).round().astype(int))
    return kept


def runs_at_the_ends(candidates: Sequence[Candidate], frames: Sequence[Lost], blind: set[int], chosen: Sequence[int],
                     options: IntakeOptions) -> list[list[Lost]]:
    """The frames between neighbouring chosen ones, or beyond the last, where the head was turned far and a face was not
    found in some (`blind`: their orders)."""
    order = np.array([candidates[k].order for k in chosen])
    yaw = np.array([abs(candidates[k].measure.angles_deg[0]) for k in chosen])
    frames = sorted(frames, key=lambda f: f.order)
    gap = np.searchsorted(order, [f.order for f in frames])
    runs = []
    for number in np.unique(gap):
        run = [f for f, g in zip(frames, gap, strict=True) if g == number]
        beside = yaw[max(number - 1, 0):number + 1]
        if blind & {f.order for f in run} and beside.max(initial=0) > options.ends_deg:
            runs.append(run)
    return runs


def film_notes(video: Video, hdr: bool, turns: int) -> list[str]:
    """What a person should know about how the video was read."""
    notes = []
    if video.damaged:
        notes.append(f"The file is cut off or damaged; its good part ({video.decoded} frames) was used.")
    if hdr:
        notes.append("The video is HDR; its colours were converted to standard range.")
    if turns:
        notes.append(f"The picture was turned by {turns * 90} degrees: the file does not say which way is up.")
    return notes


def lost_notes(counts: Counts) -> list[str]:
    """What became of a film's frames without a face."""
    lost = counts.analysed - counts.with_face - counts.in_profile
    notes = [f"In {counts.in_profile} frames the head is turned so far that no face is found; some of them serve as "
             "profiles."] if counts.in_profile else []
    return notes + ([f"The face is lost in {lost} of {counts.analysed} frames; the others were used."]
                    if lost > 0.1 * counts.analysed else [])


def album(found: Inputs, folder: Path, detector: Detector, options: IntakeOptions, progress: Progress) -> Taken:
    """Read photos one by one; those without a face are left out with a word."""
    candidates: list[Candidate] = []
    without: list[Lost] = []
    rivals, seen = 0, set()
    turns = photo_turns(found.files, detector, options)
    notes = [f"The photos were turned by {turns * 90} degrees: they do not say which way is up."] if turns else []
    for k, file in enumerate(found.files):
        progress(k / len(found.files), f"Finding the face, photo {k + 1} of {len(found.files)}")
        mark = sha256(file.path)
        if mark in seen:
            notes.append(f"{file.path.name} is a copy of another photo and was left out.")
            continue
        seen.add(mark)
        photo = read_photo(file, options.limits, options.photo_longest_px)
        picture = np.ascontiguousarray(np.rot90(photo.picture, turns))
        boxes = detector.boxes(picture)
        face = detector.follow(picture, None, boxes)
        if face is None:
            without.append(lost_frame(folder, picture, options.jpeg_quality, k, photo.name, float(k)))
            continue
        rivals += detector.has_rival(picture, face, boxes)
        candidates.append(candidate(folder, picture, face, options.jpeg_quality, k, photo.name, float(k),
                                    photo.focal_hint_px))
    refuse_rivals(rivals, len(candidates), options)
    if without:
        names = [one.source for one in without]
        notes.append("No landmarks were found in " + ", ".join(names[:6]) + (" and others" if len(names) > 6 else "")
                     + " (full profiles show none); what their outline tells is used where it is clear.")
    return Taken(candidates=tuple(candidates), lost=tuple(without[:options.most_lost]), given=len(found.files),
                 analysed=len(seen), notes=tuple(notes),
                 facts={"quarter_turns": turns, "without_face": [one.source for one in without]})


def photo_turns(files: Sequence[Sniffed], detector: Detector, options: IntakeOptions) -> int:
    """Which way is up in a set of photos, judged on up to eight of them."""
    some = [files[k] for k in np.unique(np.linspace(0, len(files) - 1, min(8, len(files))).astype(int))]
    small = [read_photo(f, options.limits, 640).picture for f in some]
    return detector.turns_to_upright(small)


def candidate(folder: Path, picture: UInt8[np.ndarray, "h w 3"], face: Face, quality: int, order: int, source: str,
              time_s: float, focal_hint_px: float | None) -> Candidate:
    """Measure a frame and write it down."""
    path = f"frames/{order:04d}.jpg"
    write_jpeg(folder / path, picture, quality)
    return Candidate(order=order, path=path, source=source, time_s=time_s, size_wh=(picture.shape[1], picture.shape[0]),
                     focal_hint_px=focal_hint_px, measure=measure(picture, face))


def lost_frame(folder: Path, picture: UInt8[np.ndarray, "h w 3"], quality: int, order: int, source: str,
               time_s: float) -> Lost:
    """Write down a frame without a face."""
    path = f"frames/{order:04d}.jpg"
    write_jpeg(folder / path, picture, quality)
    return Lost(order=order, path=path, source=source, time_s=time_s, size_wh=(picture.shape[1], picture.shape[0]))


def write_jpeg(path: Path, picture: UInt8[np.ndarray, "h w 3"], quality: int) -> None:
    """A JPEG with full colour resolution and no metadata."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality,
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), settings)
    if not done:
        raise PrevisageError("jpeg_failed", f"{path.name} could not be encoded.",
                             "Report this with the input's format.")
    with disk_errors(path):
        path.write_bytes(data.tobytes())


def refuse_rivals(rivals: int, looked: int, options: IntakeOptions) -> None:
    """Refuse a capture of two people: which one is the patient cannot be guessed."""
    if rivals > options.rivals * max(looked, 1):
        raise InputRefused("two_people", "Two people of similar size are in the picture.",
                           "Film or photograph the patient alone.")


def usable(taken: Taken, found: Inputs, options: IntakeOptions) -> None:
    """Refuse captures without a face, without enough frames of it, or without a turn of the head."""
    count = len(taken.candidates)
    film = found.kind == "video"
    if count == 0 or (film and count < 0.05 * taken.analysed):
        raise InputRefused("no_face", f"No face was found in {found.files[0].path.name}." if film
                           else f"No face was found in any of the {taken.analysed} photos.", MAKE_A_VIDEO)
    turn = float(np.ptp([c.measure.angles_deg[0] for c in taken.candidates]))
    if not film and count < options.least_photos:
        raise InputRefused("too_few_faces", f"A face was found in only {count} of {taken.analysed} photos.",
                           f"3D needs at least {options.least_photos} photos from different sides (front and "
                           "three-quarter views), or a head rotation video.")
    if count < options.limits.video_frames and film:
        raise InputRefused("face_lost", f"The face is seen in only {count} of {taken.analysed} frames.", MAKE_A_VIDEO)
    if turn < options.least_turn_deg:
        what = "The face is lost half way, and in the part that shows it the head" \
            if film and count < 0.9 * taken.analysed else "The head"
        again = COPY_AGAIN + " Else: " + MAKE_A_TURN if taken.facts.get("damaged") else MAKE_A_TURN
        raise InputRefused("no_rotation", f"{what} turns by only {turn:.0f}°; 3D needs at least "
                           f"{options.least_turn_deg:.0f}°.", again if film else FROM_ONE_SIDE)


def keep(taken: Taken, found: Inputs, folder: Path, options: IntakeOptions) -> Capture:
    """Choose, delete the rest, write the files of the capture."""
    measures = [c.measure for c in taken.candidates]
    film = found.kind == "video"
    chosen = choose(measures, options.keyframes) if film or len(measures) > options.keyframes.frames[1] \
        else list(range(len(measures)))
    kept = [taken.candidates[k] for k in chosen]
    ends = at_the_ends(taken.candidates, taken.lost, chosen, options) if film else list(taken.lost)
    used = {Path(path).name for path in [*(c.path for c in kept), *(f.path for f in ends)]}
    for written in {p.name for p in (folder / "frames").iterdir()} - used:
        (folder / "frames" / written).unlink()
    used_in_all = len(chosen) + (0 if film else len(ends))
    blind = {f.order for f in taken.lost}
    profiles = runs_at_the_ends(taken.candidates, taken.lost, blind, chosen, options) if film else []
    counts = Counts(given=taken.given, analysed=taken.analysed, with_face=len(measures), chosen=used_in_all,
                    in_profile=sum(map(len, profiles)))
    lens = lens_of([c.focal_hint_px for c in kept], [max(c.size_wh) for c in kept])
    results = checks(found.kind, measures, chosen, counts, lens, clip_of(taken, found, kept))
    quality = quality_record(results, counts, taken, found, kept)
    write_capture(folder, found.kind, kept, ends)
    write_json(folder / "quality.json", quality)
    draw_sheet(folder, [c.path for c in kept], [c.measure for c in kept], measures, results, quality)
    return load_capture(folder)


def clip_of(taken: Taken, found: Inputs, kept: Sequence[Candidate]) -> Clip:
    """What the checks need to know about the file."""
    size = kept[0].size_wh
    bits = 8 * found.files[0].path.stat().st_size / (taken.facts["packets"] * size[0] * size[1]) \
        if taken.facts.get("packets") else None
    return Clip(times_s=tuple(c.time_s for c in taken.candidates), size_wh=size, bits_per_px=bits,
                codec=str(taken.facts.get("codec", "")), damaged=bool(taken.facts.get("damaged")))


def quality_record(results: Sequence[Check], counts: Counts, taken: Taken, found: Inputs,
                   kept: Sequence[Candidate]) -> dict:
    """What quality.json says."""
    verdict, plain_sentence = sentence(results)
    yaw, pitch = (np.array([c.measure.angles_deg[k] for c in kept]) for k in (0, 1))
    return {
        "verdict": verdict, "sentence": plain_sentence,
        "film_again": [c.advice for c in results if c.level != "green"],
        "notes": [*taken.notes, *(lost_notes(counts) if found.kind == "video" else [])],
        "checks": [dataclasses.asdict(c) for c in results],
        "frames": {"given": counts.given, "analysed": counts.analysed, "with_face": counts.with_face,
                   "chosen": counts.chosen, "in_profile": counts.in_profile},
        "yaw_deg": [yaw.min(), yaw.max()], "pitch_deg": [pitch.min(), pitch.max()],
        "face_height_px": float(np.median([c.measure.face.height_px for c in kept])),
        "sharpness": float(np.median([c.measure.sharpness for c in kept])), "input": taken.facts,
        "ignored_files": list(found.ignored)}
