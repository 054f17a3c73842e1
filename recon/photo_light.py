"""Photo's light: the light of one photo, as `texture` finds it, but asked for only where it is told.

`texture.looked_at` lays the photo on the whole layout, from which skin can then be drawn. The light is told by one
texel in fifty of it: these, and the vertices, are all that is looked at here.
"""

import dataclasses
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from recon.blend import HIDDEN_MM
from recon.layout import Layout, layout, on_texels
from recon.light import Light, fit_light
from recon.sight import Sight, look, project, shrunk, zones
from recon.texture import LIGHT_TEXELS, LIGHT_TRUST, TextureOptions, evened, samples_of

_asked: "WeakKeyDictionary[Layout, Layout]" = WeakKeyDictionary()


def light_of(mesh: Mesh, camera: Camera, picture: UInt8[np.ndarray, "h w 3"], person: Bool[np.ndarray, "h w"],
             rasterize: Rasterize, options: TextureOptions, anatomy: Anatomy) -> Light:
    """The light of `texture.looked_at` of one picture. person: who is seen in it, roughly."""
    normals, zone = mesh.vertex_normals(), zones(mesh, anatomy)
    fine = dataclasses.replace(options.sight, broad_mm=options.sight.fine_mm)
    sight = look(mesh, normals, zone, camera, picture, person, rasterize, fine)
    asked = asked_of(mesh, max(options.side // options.coarse, 1))
    points = on_texels(mesh.vertices_mm, mesh, asked)[0]
    px, weight = trusted(points, sight)
    _, at_vertices = trusted(mesh.vertices_mm.astype(np.float32), sight)
    most = max(float(weight.max()), float(at_vertices.max()), 1e-12)
    mean = evened(mesh, normals, np.minimum(at_vertices / most / LIGHT_TRUST, 1))
    on_skin = on_texels(np.column_stack([mean, zone.bare]), mesh, asked)[0]
    colour = cv2.remap(sight.mid, px[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return fit_light(samples_of(points, on_skin[:, :3], colour, weight[None] / most, on_skin[:, 3], [camera]), 0)


def trusted(points: Float[np.ndarray, "n 3"], sight: Sight) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n"]]:
    """Where points of the skin lie in a sight's smaller picture, and how far it is trusted there."""
    px, depth = project(points, sight.camera)
    px = shrunk(px, sight)
    shown = depth < cv2.remap(sight.depth_mm, px[None], None, cv2.INTER_NEAREST)[0] + HIDDEN_MM
    return px, cv2.remap(sight.weight, px[None], None, cv2.INTER_LINEAR)[0] * shown


def asked_of(mesh: Mesh, side: int) -> Layout:
    """The texels that tell the light, in a row; worked out once per topology."""
    whole = layout(mesh, side)
    if whole not in _asked:
        told = np.zeros(whole.face.shape, bool)
        told[::LIGHT_TEXELS, ::LIGHT_TEXELS] = True
        place = np.nonzero(told & whole.inside)
        _asked[whole] = Layout(whole.face[place][None], whole.bary[place][None])
    return _asked[whole]
