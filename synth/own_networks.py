"""Own networks: an identity network for the guard and restorers, which a person has as a file and adds once.

None of them is fetched by this program. As with other weights the file stays where it is, and its checksum is compared
before each use. The check is a trial: it is loaded and run once on a grey square.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.added import RECORD, Licence, accepted_record, folder, licence_first, record_of
from core.errors import InputRefused, UsageError
from core.files import sha256, whole_folder, write_json
from core.progress import Progress, silent
from core.records import record
from synth.metrics.learned import ARCFACE_PX
from synth.metrics.networks import InputForm, MetricNetwork, load_network
from synth.restore import RestoreOptions, Restorer
from synth.restore import load as load_restorer
from synth.weights import whole_files

ARCFACE_FORM = InputForm(side_px=ARCFACE_PX, low=-1.0, high=1.0)
"""What ArcFace and its kin want to see: RGB of the aligned face, -1 to 1."""


@record
class OwnNetwork:
    """A network that can be added. give: what PATH is; check: raises InputRefused for another network."""

    title: str
    what: str
    licence: Licence
    give: str
    check: Callable[[Path], None]

    def how(self, name: str) -> str:
        """How to get it."""
        return f"previsage models add {name} FILE --accept-licence, with {self.give}."


def embeds(path: Path) -> None:
    """InputRefused: the network makes no vector of a face."""
    network = load_network(path, ARCFACE_FORM)
    grey = np.full((ARCFACE_PX, ARCFACE_PX, 3), 128, np.uint8)
    try:
        vector = network.run(network.batch([grey]))
    except Exception as error:
        raise InputRefused("not_identity", f"{path.name} takes no aligned face of {ARCFACE_PX} px ({error}).",
                           "Give a face recogniser as ArcFace's ONNX.") from error
    if vector.ndim < 1 or vector.shape[0] != 1 or not 32 <= vector.size <= 8192 or not np.isfinite(vector).all():
        raise InputRefused("not_identity", f"{path.name} makes {vector.shape} of one face, no vector.",
                           "Give a face recogniser as ArcFace's ONNX.")


def restores(kind: str) -> Callable[[Path], None]:
    """The check of a restorer of that kind."""
    def check(path: Path) -> None:
        load_restorer(path, kind)  # type: ignore[arg-type]
    return check


NETWORKS = {
    "identity": OwnNetwork(
        title="Identity network", what="the guard compares the likeness (all modes)", licence=Licence(
            name="the licence that it came with", holder="whoever trained it",
            terms="https://github.com/deepinsight/insightface#license",
            forbids="With most published face recognisers, InsightFace's among them, anything but research.",
            cite="Deng et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition, CVPR 2019"),
        give="the .onnx or TorchScript file of a face recogniser (112 px, RGB, -1 to 1)", check=embeds),
    "codeformer": OwnNetwork(
        title="CodeFormer", what="restores faces in painted pictures (--restore)", licence=Licence(
            name="S-Lab License 1.0", holder="S-Lab, Nanyang Technological University",
            terms="https://github.com/sczhou/CodeFormer/blob/master/LICENSE", forbids="Any commercial use.",
            cite="Zhou et al., Towards Robust Blind Face Restoration with Codebook Lookup Transformer, NeurIPS 2022"),
        give="codeformer as .onnx or .pth", check=restores("codeformer")),
    "gfpgan": OwnNetwork(
        title="GFPGAN", what="restores faces in painted pictures (--restore)", licence=Licence(
            name="Apache-2.0", holder="Tencent ARC",
            terms="https://github.com/TencentARC/GFPGAN/blob/master/LICENSE",
            forbids="Passing it on without its licence and notices; parts of it have non-commercial licences.",
            cite="Wang et al., Towards Real-World Blind Face Restoration with Generative Facial Prior, CVPR 2021"),
        give="GFPGAN as .onnx or .pth", check=restores("gfpgan")),
    "realesrgan": OwnNetwork(
        title="Real-ESRGAN", what="sharpens painted pictures (--restore)", licence=Licence(
            name="BSD-3-Clause", holder="Xintao Wang",
            terms="https://github.com/xinntao/Real-ESRGAN/blob/master/LICENSE",
            forbids="Passing it on without its notice, and advertising with its authors' names.",
            cite="Wang et al., Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data, 2021"),
        give="Real-ESRGAN as .onnx or .pth", check=restores("realesrgan")),
}
RESTORERS = tuple(name for name in NETWORKS if name != "identity")


def add_network(name: str, path: Path | None, accepted: bool, progress: Progress = silent) -> dict[str, Any]:
    """Try a network and remember its file with its checksum; the record.

    UsageError: no such name, no file, licence not accepted. InputRefused: another network. PrevisageError: a package
    that it needs is missing.
    """
    kind = NETWORKS[name]
    if not accepted:
        raise licence_first(kind.title, kind.licence)
    if path is None:
        raise UsageError("usage", f"Which file is {kind.title}?", kind.how(name))
    file = path.expanduser().resolve()
    if not file.is_file():
        raise InputRefused("no_file", f"There is no file {file}.", f"Give {kind.give}.")
    progress(0.0, f"Trying {file.name}")
    kind.check(file)
    kept = {**accepted_record(name, kind.title, kind.licence), "folder": str(file.parent),
            "files": {file.name: {"sha256": sha256(file), "bytes": file.stat().st_size}},
            "bytes": file.stat().st_size, "revision": None, "repository": "", "note": ""}
    with whole_folder(folder() / name) as place:
        write_json(place / RECORD, kept)
    progress(1.0, "Done: the network is ready")
    return kept


def network_file(name: str) -> Path | None:
    """An added network's file, its checksum compared; None when it was never added. PrevisageError: it is missing or
    was altered."""
    kept = record_of(name)
    if kept is None:
        return None
    return whole_files(name, kept) / next(iter(kept["files"]))


def network_mark(name: str) -> str:
    """The checksum of an added network's file as it is now, so that a stage runs again when it was altered; '' when it
    was never added. PrevisageError: its record is damaged."""
    kept = record_of(name)
    if kept is None:
        return ""
    file = Path(kept["folder"]) / next(iter(kept["files"]))
    return sha256(file) if file.is_file() else "missing"


def identity_network() -> MetricNetwork | None:
    """The person's identity network; None when none was added. PrevisageError: it is missing or was altered."""
    file = network_file("identity")
    return None if file is None else load_network(file, ARCFACE_FORM)


def restorer(name: str, options: RestoreOptions) -> Restorer:
    """An added restorer. UsageError: there is none of that name, or it was never added. PrevisageError: it is missing
    or was altered."""
    if name not in RESTORERS:
        raise UsageError("bad_option", f"There is no restorer {name!r}.", f"Known: {', '.join(RESTORERS)}.")
    file = network_file(name)
    if file is None:
        raise UsageError("weights_not_added", f"{NETWORKS[name].title} is not on this computer.",
                         f"It is optional. To have it: {NETWORKS[name].how(name)}")
    return load_restorer(file, name, options)  # type: ignore[arg-type]
