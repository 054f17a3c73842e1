"""Generative: the diffusion modes on a studio's frames; glue of `render.conditions` and `synth.diffusion`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from core.camera import Camera
from core.errors import UsageError
from core.progress import Progress, part
from previsage.studio import Made, Studio
from render.conditions import control_picture, drawn478
from render.wireframe import pinned, project_landmarks
from synth.diffusion import Canvas, DiffusionOptions, canvas, load, paint
from synth.own_networks import network_mark, restorer
from synth.postprocess import finish
from synth.restore import RestoreOptions, Restorer

OWN_OPTIONS = ("prompt", "restore", "restore_strength")
FACE_MARGIN = 1.3
"""Side of the square around the face that the identity adapter is shown, over the face's own."""


def painted(studio: Studio, made: Sequence[Made], mode: str, options: dict[str, Any], progress: Progress) -> tuple[
        dict[str, UInt8[np.ndarray, "h w 3"]], dict[str, Any]]:
    """Pictures by frame, painted inside their masks from warp3d's; and what ran.

    UsageError: an unknown option, weights that are not there.
    """
    prompt = options.get("prompt")
    given = {name: value for name, value in options.items() if name not in OWN_OPTIONS}
    if unknown := given.keys() - set(DiffusionOptions.__dataclass_fields__):
        raise UsageError("bad_option", f"There is no option {', '.join(sorted(unknown))}.",
                         f"Known: {', '.join((*OWN_OPTIONS, *DiffusionOptions.__dataclass_fields__))}.")
    restore = restorer_of(options)
    chosen = DiffusionOptions(**{**given, "mode": mode})
    changing = [one for one in made if one.seen is not None]
    if not changing:
        return {one.name: one.picture for one in made}, {"mode": mode, "notes": ["The plan changes no frame."]}
    loaded = load(chosen, part(progress, 0.0, 0.3))
    canvases = [canvas_of(studio, one, mode) for one in changing]
    face = frontal_face(studio, made) if mode == "controlnet_ip" else None
    result = paint(canvases, loaded, chosen, studio.procedures, prompt, face, part(progress, 0.3, 1.0))
    ended = {one.name: finish(result.pictures[one.name], one.picture, mask_of(one),
                              restore=None if restore is None else restore_of(studio, one, *restore))
             for one in changing if one.name in result.painted}
    ran = {**result.provenance, "painted": list(result.painted), "notes": list(result.notes)}
    if restore is not None:
        ran["restored"] = {"by": restore[0].title, "strength": restore[1].strength}
        ran["weights"] = {**ran["weights"], options["restore"]: network_mark(options["restore"])}
        ran["notes"].append(f"Skin was restored by {restore[0].title}, which makes detail up.")
    return {one.name: one.picture for one in made} | result.pictures | ended, ran


def restorer_of(options: dict[str, Any]) -> tuple[Restorer, RestoreOptions] | None:
    """The restorer that is asked for, and how much of it. UsageError: it was never added, or its strength is none."""
    if options.get("restore") is None:
        return None
    strength = float(options.get("restore_strength", RestoreOptions().strength))
    if not 0 < strength <= 1:
        raise UsageError("bad_option", f"A restorer's strength is above 0 and at most 1, not {strength:g}.", "Try 0.5.")
    chosen = RestoreOptions(strength=strength)
    return restorer(options["restore"], chosen), chosen


def restore_of(studio: Studio, made: Made, network: Restorer, chosen: RestoreOptions) -> Callable[
        [UInt8[np.ndarray, "h w 3"]], UInt8[np.ndarray, "h w 3"]]:
    """The restorer on a frame, whose face lies where the head after the operation has it."""
    landmarks = made.view.camera.px_from_points(pinned(studio.after.mesh, studio.head.anatomy.pins478).points)
    return lambda picture: network(picture, landmarks, chosen)


def canvas_of(studio: Studio, made: Made, mode: str) -> Canvas:
    """A frame with its whole mask, the wireframe of the head after, and texture coordinates that noise sticks to."""
    mask = mask_of(made)
    mesh = studio.after.mesh

    def control(camera: Camera) -> UInt8[np.ndarray, "s s 3"]:
        landmarks = project_landmarks(drawn478(mesh, studio.head.anatomy.pins478), camera, studio.after)
        return control_picture(landmarks, camera.size_wh)

    def uv(camera: Camera) -> Float[np.ndarray, "s s 2"]:
        fragments = studio.after(camera)
        out = np.full((*fragments.face.shape, 2), np.nan, np.float32)
        hit = fragments.covered
        corners = studio.after.surface.corner_uv[fragments.face[hit]]
        out[hit] = np.einsum("nk,nkc->nc", fragments.bary[hit], corners)
        return out

    return canvas(made.name, made.picture, mask, made.view.camera, control if mode != "img2img" else None, uv)


def mask_of(made: Made) -> Float[np.ndarray, "h w"]:
    """The mask of a frame's change, at the frame's size."""
    assert made.seen is not None
    mask = np.zeros(made.frame.shape[:2], np.float32)
    mask[made.seen.correspondence.window] = made.seen.correspondence.mask
    return mask


def frontal_face(studio: Studio, made: Sequence[Made]) -> UInt8[np.ndarray, "s s 3"]:
    """The face of the frame nearest to frontal, cut square, before the operation."""
    front = min(made, key=lambda one: abs(one.view.camera.head_angles_rad[0]))
    points = front.view.camera.px_from_points(studio.head.landmarks.points)
    low, high = np.nanmin(points, 0), np.nanmax(points, 0)
    half = max(FACE_MARGIN * float((high - low).max()) / 2, 8.0)
    x, y = (low + high) / 2
    height, width = front.frame.shape[:2]
    rows = np.clip(np.arange(round(y - half), round(y + half)), 0, height - 1)
    columns = np.clip(np.arange(round(x - half), round(x + half)), 0, width - 1)
    size = min(len(rows), len(columns))
    return np.ascontiguousarray(front.frame[rows[:size, None], columns[:size]])
