"""Photo's light: the light of one photo, as `texture` finds it, but asked for only where it is told.

`texture.looked_at` lays the photo on the whole layout, from which skin can then be drawn. The light is told by one
texel in fifty of it; these, and the texels at the mesh's vertices, are all that is looked at here: a layout of one row.
"""

import dataclasses
from typing import NamedTuple
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from recon.blend import HIDDEN_MM
from recon.layout import Layout, layout, of_sides, on_texels, uv_texels
from recon.light import Light, fit_light
from recon.sight import Sight, look, project, shrunk, zones
from recon.texture import LIGHT_TEXELS, LIGHT_TRUST, TextureOptions, evened, samples_of


class Asked(NamedTuple):
    """A row of texels: first `thin` of those that tell the light, then those at the texture coordinates."""

    flat: Layout
    thin: int


_asked: "WeakKeyDictionary[Layout, Asked]" = WeakKeyDictionary()


def light_of(mesh: Mesh, camera: Camera, picture: UInt8[np.ndarray, "h w 3"], person: Bool[np.ndarray, "h w"],
             rasterize: Rasterize, options: TextureOptions, anatomy: Anatomy) -> Light:
    """The light of `texture.looked_at` of one picture. person: who is seen in it, roughly."""
    normals, zone = mesh.vertex_normals(), zones(mesh, anatomy)
    fine = dataclasses.replace(options.sight, broad_mm=options.sight.fine_mm)
    sight = look(mesh, normals, zone, camera, picture, person, rasterize, fine)
    flat, thin = asked(mesh, max(options.side // options.coarse, 1))
    points = on_texels(mesh.vertices_mm, mesh, flat)[0]
    px, weight = trusted(points, sight)
    weight *= flat.inside[0]
    weight /= max(float(weight.max()), 1e-12)
    mean = evened(mesh, normals, of_sides(np.minimum(weight[thin:, None] / LIGHT_TRUST, 1), mesh)[:, 0])
    told = Layout(flat.face[:, :thin], flat.bary[:, :thin])
    on_skin = on_texels(np.column_stack([mean, zone.bare]), mesh, told)[0]
    colour = cv2.remap(sight.mid, px[None, :thin], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return fit_light(samples_of(points[:thin], on_skin[:, :3], colour, weight[None, :thin], on_skin[:, 3], [camera]), 0)


def trusted(points: Float[np.ndarray, "n 3"], sight: Sight) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n"]]:
    """Where points of the skin lie in a sight's smaller picture, and how far it is trusted there."""
    px, depth = project(points, sight.camera)
    px = shrunk(px, sight)
    shown = depth < cv2.remap(sight.depth_mm, px[None], None, cv2.INTER_NEAREST)[0] + HIDDEN_MM
    return px, cv2.remap(sight.weight, px[None], None, cv2.INTER_LINEAR)[0] * shown


def asked(mesh: Mesh, side: int) -> Asked:
    """Worked out once per topology."""
    whole = layout(mesh, side)
    if whole not in _asked:
        told = np.zeros(whole.face.shape, bool)
        told[::LIGHT_TEXELS, ::LIGHT_TEXELS] = True
        rows, columns = np.nonzero(told & whole.inside)
        at_rows, at_columns = uv_texels(mesh, side)
        place = np.append(rows, at_rows), np.append(columns, at_columns)
        _asked[whole] = Asked(Layout(whole.face[place][None], whole.bary[place][None]), len(rows))
    return _asked[whole]
