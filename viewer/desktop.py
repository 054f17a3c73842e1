"""Desktop: a window with the textured head, a slider per step, before and after at a key (`previsage view`).

PyVista comes with the extra `desktop`. What the window shows is worked out in `DesktopHead`, which needs no window.
"""

import os
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float

from core.camera import Camera
from core.case import Case
from core.certainty import SEEN, WITHIN_95, within95_mm
from core.errors import PrevisageError, UsageError
from core.glb import split_seams
from core.prediction import Prediction
from core.reconstruction import Reconstruction
from core.store import load_prediction, load_reconstruction
from render.certainty import LIMIT_MM, NOT_SEEN, STRIPES, half_width_colors, within_words
from render.draw import MARK
from render.views import VIEWS, standard_cameras

WINDOW_WH = (1100, 1000)
"""Window and screenshot size in px."""

KEYS = {"f": "frontal", "o": "left_oblique", "l": "left_lateral", "p": "right_oblique", "k": "right_lateral",
        "b": "basal", "c": "cephalic"}
"""Keys of the standard views; space is before/after, r resets the sliders, h turns the lamp on and off, u shows how
sure the shape is."""

HELP = "   ".join(["space before/after", "r reset", "h light", "u certainty",
                   *(f"{key} {VIEWS[name].label.lower()}" for key, name in KEYS.items())])


OF_THE_FILMED_HEAD = "Of the head as filmed, not of the plan's effect"
STRIPE_MM = 6.0
"""Width of a pair of stripes on what was not seen."""


class DesktopHead:
    """A head and its steps, ready to draw: seams split, a position for any slider values, a camera for any view."""

    def __init__(self, head: Reconstruction, prediction: Prediction | None) -> None:
        self.head = head
        vertex, corner, self.triangles = split_seams(head.mesh)
        self._vertex = vertex
        self.uv = head.mesh.uv[corner]
        empty = np.zeros((0, len(head.mesh.vertices_mm), 3))
        self.steps_mm = empty if prediction is None else prediction.displacement_mm
        self.labels = () if prediction is None else prediction.step_labels
        self.units = () if prediction is None else prediction.step_units
        self.planned = np.zeros(0) if prediction is None else np.array(prediction.step_values)
        self.half_width_mm = WITHIN_95 * head.uncertainty_mm[vertex]
        self.seen = head.seen[vertex]
        self.within_mm = within95_mm(head.mesh, head.uncertainty_mm, head.face_seen)
        self.cameras = standard_cameras(head.mesh, WINDOW_WH, head.anatomy)

    def vertices_mm(self, values: Float[np.ndarray, "s"]) -> Float[np.ndarray, "v 3"]:
        """The mesh's positions when the steps stand at `values` (mm or degrees); all zero is the reconstructed head."""
        share = np.divide(values, self.planned, out=np.zeros(len(values)), where=self.planned != 0)
        return self.head.mesh.vertices_mm + np.tensordot(share, self.steps_mm, 1)

    def points_mm(self, values: Float[np.ndarray, "s"]) -> Float[np.ndarray, "n 3"]:
        """Drawn positions: the mesh's, once for every side of a texture seam."""
        return self.vertices_mm(values)[self._vertex]

    def normals(self, values: Float[np.ndarray, "s"]) -> Float[np.ndarray, "n 3"]:
        """Drawn normals, smooth across texture seams."""
        return self.head.mesh.with_vertices(self.vertices_mm(values)).vertex_normals()[self._vertex]

    def camera(self, view: str) -> Camera:
        """A standard view by name; UsageError lists them."""
        if view not in self.cameras:
            raise UsageError("unknown_view", f"There is no view called {view!r}.",
                             f"Known: {', '.join(self.cameras)}.")
        return self.cameras[view]


def load_head(case: Path, plan_id: str | None) -> DesktopHead:
    """The head of a case with one plan's steps; without an id the newest plan, or none when there is none."""
    opened = Case.open(case)
    head = load_reconstruction(opened.recon)
    known = opened.plan_ids()
    if plan_id is not None and plan_id not in known:
        raise UsageError("unknown_plan", f"The case has no plan called {plan_id!r}.",
                         f"Known: {', '.join(known) or 'none; run `previsage predict` first'}.")
    chosen = plan_id or (known[-1] if known else None)
    return DesktopHead(head, None if chosen is None else load_prediction(opened.plan(chosen)))


def pyvista() -> ModuleType:
    """The PyVista package, or what to install."""
    try:
        import pyvista as package
    except ImportError as error:
        raise PrevisageError("no_pyvista", "The desktop viewer needs PyVista, which is not installed.",
                             "Run `pip install previsage[desktop]`, or use `previsage serve`.") from error
    return package


def quiet() -> None:
    """Without a screen VTK tries X11 first and warns before it draws off screen: that is no news to anyone."""
    from vtkmodules.vtkCommonCore import vtkLogger

    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)


def need_display() -> None:
    """Refuse to open a window where there is no screen; VTK would end the whole process."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise PrevisageError("no_display", "There is no screen to open a window on.",
                             "Use --screenshot PNG for a picture, or `previsage serve` and a browser.")


class Certainty:
    """The same surface drawn by how sure its shape is: what was seen in the colours of the scale, the rest striped."""

    def __init__(self, plotter: Any, surface: Any, shown: DesktopHead) -> None:
        pv = pyvista()
        self.surface = surface
        surface.point_data["half_width_mm"] = shown.half_width_mm
        surface.point_data["seen"] = shown.seen
        along = shown.points_mm(np.zeros(len(shown.planned))).sum(1) / (np.sqrt(3) * STRIPE_MM)
        surface.point_data["stripe"] = np.column_stack([along, np.zeros(len(along))])
        colors = np.rint(half_width_colors(np.linspace(0, LIMIT_MM, 256))).astype(np.uint8)
        table = pv.LookupTable(values=np.insert(colors, 3, 255, axis=1), scalar_range=(0, LIMIT_MM))
        light = {"ambient": 0.62, "diffuse": 0.42, "specular": 0.0, "smooth_shading": False}
        sure, hidden = self.parts()
        self.sure = plotter.add_mesh(sure, scalars="half_width_mm", cmap=table, show_scalar_bar=False, **light)
        self.sure.mapper.interpolate_before_map = True
        pair = np.repeat(np.array(STRIPES, np.uint8), (19, 13), 0)  # light and dark, as wide as in the pictures
        stripes = pv.Texture(np.ascontiguousarray(np.stack([pair] * 2)), repeat=True)
        self.hidden = plotter.add_mesh(hidden, texture=stripes, **light) if hidden.n_cells else None
        self.bar = plotter.add_scalar_bar(
            title="mm", mapper=self.sure.mapper, vertical=True, n_labels=int(LIMIT_MM) + 1, fmt="%.0f", width=0.06,
            height=0.4, position_x=0.03, position_y=0.28, label_font_size=16, title_font_size=18, color="black")
        self.words = plotter.add_text("", position=(12, 44), font_size=9, color="black")
        self.words.prop.SetBackgroundColor(1, 1, 1)
        self.words.prop.SetBackgroundOpacity(0.85)
        said = [within_words(shown.within_mm), f"Grey stripes: {NOT_SEEN}",
                f"Colours: half-width of the 95 % interval, up to {LIMIT_MM:g} mm or more"]
        if len(shown.planned):
            said.append(OF_THE_FILMED_HEAD)
        self.words.SetInput("\n".join(line for part in said for line in textwrap.wrap(part, 38)))  # beside the chin

    def parts(self) -> tuple[Any, Any]:
        """The surface cut along the border of what was seen."""
        sure = self.surface.clip_scalar(scalars="seen", invert=False, value=SEEN)
        hidden = self.surface.clip_scalar(scalars="seen", invert=True, value=SEEN)
        sure.set_active_scalars("half_width_mm")
        hidden.set_active_scalars(None)
        hidden.active_texture_coordinates = hidden.point_data["stripe"]
        return sure, hidden

    def show(self, on: bool) -> None:
        """Draw it as the surface now stands, or not at all."""
        if on:
            sure, hidden = self.parts()
            self.sure.mapper.SetInputData(sure)
            if self.hidden is not None:
                self.hidden.mapper.SetInputData(hidden)
        for drawn in (self.sure, self.hidden):
            if drawn is not None:
                drawn.prop.interpolation = "Phong"
        for drawn in (self.sure, self.hidden, self.bar, self.words):
            if drawn is not None:
                drawn.SetVisibility(on)


class Stage:
    """The drawn scene: plotter, the head's drawing, and whether it stands before or after. show: `skin` or
    `certainty`."""

    def __init__(self, shown: DesktopHead, off_screen: bool, show: str = "skin") -> None:
        pv = pyvista()
        self.shown, self.show = shown, show
        self.values = np.array(shown.planned, float)
        self.after = len(self.values) > 0
        self.plotter = pv.Plotter(off_screen=off_screen, window_size=list(WINDOW_WH), lighting="light kit")
        self.plotter.set_background((0.93, 0.935, 0.94))
        self.surface = pv.PolyData.from_regular_faces(shown.points_mm(self._now()), shown.triangles)
        self.surface.active_texture_coordinates = np.column_stack([shown.uv[:, 0], 1 - shown.uv[:, 1]])
        texture = pv.numpy_to_texture(np.ascontiguousarray(shown.head.texture.rgb))
        self.actor = self.plotter.add_mesh(self.surface, texture=texture, lighting=False)
        self.actor.prop.interpolation = "Phong"
        self.words = self.plotter.add_text("", position="upper_left", font_size=11, color="black")
        self.certainty = Certainty(self.plotter, self.surface, shown)
        if self.after:
            self.plotter.add_text(MARK, position="lower_right", font_size=10, color=(0.66, 0.11, 0.11))
        self.refresh()

    def _now(self) -> np.ndarray:
        return self.values if self.after else np.zeros(len(self.values))

    def refresh(self) -> None:
        """Draw the head at the sliders' values, or as it was."""
        self.surface.points = self.shown.points_mm(self._now())
        self.surface.point_data.active_normals = self.shown.normals(self._now())
        self.words.set_text("upper_left", "after" if self.after else "before")
        self.actor.SetVisibility(self.show == "skin")
        self.certainty.show(self.show == "certainty")
        self.plotter.render()

    def toggle(self) -> None:
        """Before to after and back."""
        self.after = not self.after and len(self.values) > 0
        self.refresh()

    def sureness(self) -> None:
        """Skin to certainty and back."""
        self.show = "skin" if self.show == "certainty" else "certainty"
        self.refresh()

    def set_step(self, step: int, value: float) -> None:
        """Move one slider; shows the result at once."""
        self.values[step] = value
        self.after = True
        self.refresh()

    def look(self, view: str) -> None:
        """Go to a standard view, with its perspective."""
        camera = self.shown.camera(view)
        _, height = camera.size_wh
        to_head = camera.cam_from_head[:3, :3].T
        eye = self.plotter.camera
        eye.position = tuple(camera.position_mm)
        eye.focal_point = tuple(camera.position_mm + to_head[:, 2] * np.linalg.norm(camera.cam_from_head[:3, 3]))
        eye.up = tuple(-to_head[:, 1])
        eye.view_angle = float(np.degrees(2 * np.arctan(height / (2 * camera.K_px[1, 1]))))
        self.plotter.reset_camera_clipping_range()
        self.plotter.render()

    def light(self) -> None:
        """Shade the head by its form, or show the texture as it is."""
        self.actor.prop.lighting = not self.actor.prop.lighting
        self.plotter.render()


def add_controls(stage: Stage) -> None:
    """Sliders, one per step, and the keys."""
    sliders = []
    for step, (label, unit, planned) in enumerate(zip(stage.shown.labels, stage.shown.units, stage.shown.planned,
                                                      strict=True)):
        if planned == 0:
            continue  # a step the plan leaves out has no direction to slide along
        y = 0.92 - min(0.1, 0.85 / len(stage.shown.labels)) * step
        slider = stage.plotter.add_slider_widget(
            lambda value, step=step: stage.set_step(step, value), sorted((0.0, 1.5 * float(planned))),
            value=float(planned), title=f"{label} ({unit})", pointa=(0.68, y), pointb=(0.97, y), style="modern",
            title_height=0.016, fmt="%.1f")
        drawn = slider.GetRepresentation()
        drawn.SetTubeWidth(0.008)
        drawn.SetSliderWidth(0.022)
        drawn.SetSliderLength(0.012)
        drawn.SetLabelHeight(0.016)
        sliders.append((step, slider))

    def reset() -> None:
        for step, slider in sliders:
            slider.GetRepresentation().SetValue(float(stage.shown.planned[step]))
        stage.values[:] = stage.shown.planned
        stage.refresh()

    stage.plotter.add_key_event("space", stage.toggle)
    stage.plotter.add_key_event("r", reset)
    stage.plotter.add_key_event("h", stage.light)
    stage.plotter.add_key_event("u", stage.sureness)
    for key, view in KEYS.items():
        stage.plotter.add_key_event(key, lambda view=view: stage.look(view))
    stage.plotter.add_text(HELP, position="lower_left", font_size=8, color="black")


def view(case: Path, plan_id: str | None = None, show: str = "skin") -> None:
    """Open the window and wait until it is closed. PrevisageError without PyVista or without a screen."""
    pyvista()
    need_display()
    stage = Stage(load_head(case, plan_id), off_screen=False, show=show)
    stage.look("frontal")
    add_controls(stage)
    stage.plotter.show(title=f"Previsage: {Path(case).name}")


def screenshot(case: Path, plan_id: str | None, png: Path, view: str = "frontal",
               show: str = "skin") -> Path:
    """Draw one standard view without a window: the operation when the case has a plan, else the head as it is."""
    shown = load_head(case, plan_id)
    shown.camera(view)
    pyvista()
    quiet()
    stage = Stage(shown, off_screen=True, show=show)
    try:
        stage.look(view)
        png.parent.mkdir(parents=True, exist_ok=True)
        stage.plotter.screenshot(str(png))
    finally:
        stage.plotter.close()
    return png
