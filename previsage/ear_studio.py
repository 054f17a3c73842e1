"""Ear studio: a photo's window whose ears are set back as layers (`synth.ears`), after all else of a plan was drawn."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from core.correspondence import Correspondence
from core.prediction import Prediction
from core.reconstruction import View
from deform3d import catalogue
from previsage.photo_study import PhotoStudio, Study
from previsage.studio import Made
from recon.ears import EARS
from render.flow import Seen
from render.masks import px_per_mm_of
from synth.ears import Layer, Setback, drawn, setback
from synth.spectacles import without

Picture = UInt8[np.ndarray, "h w 3"]
LEAST_MM = 0.25
"""An ear that a plan moves less stays."""
SHOWS, STILL_PX = 0.5, 0.05
"""A pixel shows the ear from this share of it on; one that moves less is still."""


def ears_mm(prediction: Prediction) -> Float[np.ndarray, "v 3"]:
    """What a plan's operations on ears do; zeros without any."""
    names = {name for name, procedure in catalogue().items() if procedure.category == "ears"}
    own = [name.split(".")[0] in names for name in prediction.step_names]
    return np.asarray(prediction.displacement_mm[own].sum(0))


class EarStudio(PhotoStudio):
    """A studio whose study knows the ears (`Study.eared`). moves_mm: what the plan's operations on ears do."""

    def __init__(self, study: Study, picture: Picture, srgb: bool, displacement_mm: Float[np.ndarray, "v 3"],
                 moves_mm: Float[np.ndarray, "v 3"], procedures: Sequence[str]) -> None:
        super().__init__(study, picture, srgb, displacement_mm, procedures)
        self.rest = PhotoStudio(study, picture, srgb, displacement_mm - moves_mm, procedures)
        self.moves_mm = moves_mm

    def setbacks(self) -> list[Setback]:
        """How each ear that moves is set back."""
        out, head = [], self.study.head
        for ear in EARS:
            rows = np.flatnonzero(head.anatomy.region(ear) > 0.5)
            if np.linalg.norm(self.moves_mm[rows], axis=1).max(initial=0) < LEAST_MM:
                continue
            seen, skin = self.study.ears[ear], head.mesh.vertices_mm[rows]
            was, is_ = (seen.frame.mm(self.view.camera.px_from_points(p)) for p in (skin, skin + self.moves_mm[rows]))
            out.append(setback(seen.frame, seen.outline.points_mm, was, is_ - was))
        return out

    def made(self, view: View) -> Made:
        """warp3d's picture, then the ears."""
        one = self.rest.made(view)
        if one.seen is None:
            worn = self.worn_in(view, one.photographed)
            one = dataclasses.replace(one, worn=worn, frame=without(one.photographed, worn),
                                      picture=without(one.photographed, worn))
        picture, layers = one.picture.copy(), []
        for ear in self.setbacks():
            layer = drawn(picture, ear)
            if layer is not None:
                picture[layer.window] = layer.picture
                layers.append((layer, ear.frame.depth_mm))
        return self.together(view, one, picture, layers) if layers else one

    def together(self, view: View, one: Made, picture: Picture, layers: list[tuple[Layer, float]]) -> Made:
        """What both asked of the picture, in one window as large as it is."""
        whole = self.over_all(view, None if one.seen is None else one.seen.correspondence)
        shape = picture.shape[:2]
        drawn_px, light = np.zeros((*shape, 2), np.float32), np.ones((*shape, 3), np.float32)
        if one.seen is not None:
            window = one.seen.correspondence.window
            drawn_px[window] = 0 if one.drawn_px is None else one.drawn_px
            light[window] = 1 if one.light is None else one.light
        for layer, depth_mm in layers:
            lay(whole, layer, depth_mm)
            drawn_px[layer.window][layer.touched] = layer.u_px[layer.touched]
        seen = Seen(camera=view.camera, before=self.before(view.camera), after=self.after(view.camera),
                    correspondence=Correspondence(**whole))
        return dataclasses.replace(one, picture=picture, seen=seen, light=None if one.light is None else light,
                                   drawn_px=drawn_px)

    def over_all(self, view: View, part: Correspondence | None) -> dict:
        """The arrays of a correspondence as large as the picture: of one of its windows, and beside it the head."""
        depth = self.before(view.camera).depth_mm
        whole = {"flow_px": np.zeros((*depth.shape, 2)), "normals_before": np.zeros((*depth.shape, 3)),
                 "normals_after": np.zeros((*depth.shape, 3)), "moved": np.zeros(depth.shape, bool),
                 "mask": np.zeros(depth.shape), "depth_before_mm": depth.copy(), "depth_after_mm": depth.copy(),
                 "from_depth_mm": depth.copy()}
        if part is not None:
            for name, values in whole.items():
                values[part.window] = getattr(part, name)
        moving = np.any(self.displacement_mm, axis=1).astype(float)
        per_mm = px_per_mm_of(self.before.mesh, view.camera, moving) if part is None else part.px_per_mm
        return {**whole, "left": 0, "top": 0, "px_per_mm": per_mm}


def lay(whole: dict, layer: Layer, depth_mm: float) -> None:
    """Write an ear over the arrays of a correspondence."""
    before, after = layer.before > SHOWS, layer.after > SHOWS
    there = {name: values[layer.window] for name, values in whole.items() if isinstance(values, np.ndarray)}
    gone = before & ~after & layer.touched
    for name, ear, bare in (("depth_after_mm", depth_mm, np.inf), ("from_depth_mm", depth_mm, np.inf),
                            ("moved", True, False)):
        there[name][after & layer.touched], there[name][gone] = ear, bare
    there["flow_px"][layer.touched] = layer.u_px[layer.touched]
    there["depth_before_mm"][before & layer.touched] = depth_mm
    there["moved"][np.linalg.norm(layer.u_px, axis=2) < STILL_PX] = False
    there["mask"][layer.touched] = 1
