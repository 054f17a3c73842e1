"""Plans become displacements: the procedure catalogue, surface distances, interpolating fields, the prediction."""

from deform3d.catalogue import Catalogue, catalogue, load_catalogue, read_plan, resolve
from deform3d.field import Field, FieldOptions, field_of
from deform3d.flags import Flags, clinical_flags
from deform3d.free import topology
from deform3d.predict import planned, predict

__all__ = ["Catalogue", "Field", "FieldOptions", "Flags", "catalogue", "clinical_flags", "field_of", "load_catalogue",
           "planned", "predict", "read_plan", "resolve", "topology"]
