"""The patient's two sides: names of twins, and what is written for the left once more for the right."""

from typing import Any, Literal

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = ("left", "right")
"""Names of the left end in `_l`, of the right in `_r`."""


def other_side(name: str) -> str:
    """The twin of a pin: `_l` for `_r` and back; a midline pin is its own."""
    return name[:-2] + {"_l": "_r", "_r": "_l"}[name[-2:]] if name.endswith(("_l", "_r")) else name


def side_of(name: str) -> Side | None:
    """The side of a pin, None on the midline."""
    return {"_l": "left", "_r": "right"}.get(name[-2:])  # type: ignore[return-value]


def twins(handles: object) -> object:
    """Every handle written with `mirror: true` for the left, and its image on the right."""
    if not isinstance(handles, (list, tuple)):
        return handles
    out: list[object] = []
    for handle in handles:
        if not (isinstance(handle, dict) and "mirror" in handle):
            out.append(handle)
            continue
        left = {key: value for key, value in handle.items() if key != "mirror"}
        out.append(left)
        if handle["mirror"]:
            out.append(mirrored(left, ("pin", "follow")))
    return out


def twin_points(points: object) -> object:
    """Every point written with `mirror: true` for the left, and its image on the right."""
    if not isinstance(points, dict):
        return points
    out: dict[str, object] = {}
    for name, point in points.items():
        if not (isinstance(point, dict) and "mirror" in point):
            out[name] = point
            continue
        out[name] = left = {key: value for key, value in point.items() if key != "mirror"}
        if point["mirror"]:
            out[other_side(checked_left(name))] = mirrored(left, ())
    return out


def checked_left(name: object) -> str:
    """The name of what is mirrored: it stands on the left."""
    if not (isinstance(name, str) and name.endswith("_l")):
        raise ValueError(f"{name}: only what ends in _l has a mirror image")
    return name


def mirrored(left: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The image, in the mid-sagittal plane, of a handle or point as it was written."""
    def swap(mean: object) -> object:
        return {other_side(k): v for k, v in mean.items()} if isinstance(mean, dict) else other_side(str(mean))

    out = dict(left)
    if "pin" in names:
        checked_left(left.get("pin"))
    for key in names:
        if key in out:
            out[key] = other_side(str(out[key]))
    for key in ("of", "rotate_about"):
        if key in out:
            out[key] = swap(out[key])
    for key in ("move", "offset_mm", "facing"):
        if isinstance(out.get(key), (list, tuple)) and len(out[key]) == 3:
            out[key] = [-out[key][0], *out[key][1:]]
    if isinstance(out.get("axis"), dict):  # an image turns the other way
        out["axis"] = {"start": swap(out["axis"].get("end")), "end": swap(out["axis"].get("start"))}
    elif "axis" in out:
        out["axis"] = [out["axis"][0], -out["axis"][1], -out["axis"][2]]
    if isinstance(out.get("level"), dict):
        out["level"] = {k: v if k == "spare_mm" else swap(v) for k, v in out["level"].items()}
    if isinstance(out.get("furthest"), dict):
        x, y, z = out["furthest"]["direction"]
        out["furthest"] = {"region": other_side(str(out["furthest"]["region"])), "direction": [-x, y, z]}
    return out
