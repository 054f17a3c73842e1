"""Previsage in Python: the calls that the command line and the web server make.

    reconstruct(inputs, case)            a video or photos become a head in millimetres
    predict(case, plan)                  a plan becomes a displacement of that head, with its pictures
    solve(case, procedures, goals)       the plan that comes nearest to measured goals, or to a surface
    render_views(case, plan_id, views)   more pictures
    photoreal(case, plan_id)             the plan on the person's own pictures
    predict_photo(photo, procedure)      one photo alone: before and after
    load(case), procedures(), clinical_flags()   what is there

Everything heavy is imported by the first call that needs it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from previsage.options import ReconstructOptions

if TYPE_CHECKING:
    from previsage.backwards import solve
    from previsage.demo import make_demo
    from previsage.photo import predict_photo
    from previsage.photoreal_stage import photoreal
    from previsage.recipe import clinical_flags, load, predict, procedures, reconstruct, render_views

__all__ = ["ReconstructOptions", "clinical_flags", "load", "make_demo", "photoreal", "predict", "predict_photo",
           "procedures",            "reconstruct", "render_views", "solve"]

_HOME = {"load": "recipe", "predict": "recipe", "procedures": "recipe", "clinical_flags": "recipe",
         "reconstruct": "recipe", "render_views": "recipe", "make_demo": "demo", "solve": "backwards",
         "photoreal": "photoreal_stage", "predict_photo": "photo"}


def __getattr__(name: str) -> Any:
    """The public calls, imported when they are first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'previsage' has no attribute {name!r}")
    return getattr(importlib.import_module(f"previsage.{_HOME[name]}"), name)
