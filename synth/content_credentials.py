"""Content credentials: a C2PA manifest inside an exported picture, with the certificate of the clinic that shows it.

    <config>/c2pa/certificate.pem   the signing certificate, then its chain (from an authority; self-signed is refused)
    <config>/c2pa/private_key.pem   its private key
    <config>/c2pa/algorithm.txt     es256 (the default), es384, ps256, ed25519 ...

Where both files lie, every exported picture gets the manifest, beside our own signed claim, which stays valid: C2PA
adds a chunk and touches neither pixels nor text. Needs the package c2pa-python (extra `c2pa`). No time-stamping server
is asked: nothing leaves this computer.
"""

import json
from pathlib import Path
from typing import Any

from core.errors import PrevisageError
from core.files import beside, disk_errors
from synth.signing import config_folder

CERTIFICATE, PRIVATE_KEY, ALGORITHM = "certificate.pem", "private_key.pem", "algorithm.txt"
SOURCE_URI = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def credentials_wanted(folder: Path | None = None) -> bool:
    """Whether the person has put a certificate and a key there. PrevisageError: only one of them."""
    place = (folder or config_folder()) / "c2pa"
    found = [(place / name).is_file() for name in (CERTIFICATE, PRIVATE_KEY)]
    if any(found) and not all(found):
        raise PrevisageError("c2pa_half", f"{place} holds only one of {CERTIFICATE} and {PRIVATE_KEY}.",
                             "Put both there, or none.")
    return all(found)


def add_credentials(path: Path, claim: dict[str, Any], folder: Path | None = None) -> None:
    """Sign a written picture with C2PA, in place. claim: `synth.provenance`'s; its source type and hashes are named.

    PrevisageError: c2pa-python is not installed, or it refuses the certificate; the picture then stays as it was.
    """
    place = (folder or config_folder()) / "c2pa"
    try:
        import c2pa
    except ImportError as error:
        raise PrevisageError("no_c2pa", "A C2PA certificate is configured, but c2pa-python is not installed.",
                             "Run: pip install 'previsage[c2pa]', or remove the folder c2pa.") from error
    chosen = place / ALGORITHM
    algorithm = chosen.read_text("utf-8").strip() if chosen.is_file() else "es256"
    signed = beside(path, "tmp", "c2pa").with_suffix(path.suffix)
    try:
        with disk_errors(path):
            info = c2pa.C2paSignerInfo(algorithm, (place / CERTIFICATE).read_bytes(),
                                       (place / PRIVATE_KEY).read_bytes(), None)
            plain = c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}})  # the picture is its own
            with (c2pa.Signer.from_info(info) as signer,
                  c2pa.Builder(json.dumps(manifest(path, claim)), plain) as builder):
                builder.sign_file(path, signed, signer)
            signed.replace(path)
    except (c2pa.C2paError, ValueError, TypeError) as error:
        raise PrevisageError("c2pa_refused", f"The C2PA certificate could not be used: {error}.",
                             f"Check the files in {place}; the picture stays without content credentials.") from error
    finally:
        signed.unlink(missing_ok=True)


def manifest(path: Path, claim: dict[str, Any]) -> dict[str, Any]:
    """What the manifest says: that it was created, as what, by what; and our claim."""
    return {
        "claim_generator_info": [{"name": "Previsage", "version": "1"}],
        "title": path.name, "format": "image/png" if path.suffix.lower() == ".png" else "image/jpeg",
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": [
                {"action": "c2pa.created", "digitalSourceType": SOURCE_URI + str(claim["digital_source_type"]),
                 "softwareAgent": "Previsage", "description": claim["statement"]}]}},
            {"label": "org.previsage.provenance", "data": claim}]}


def credentials_of(path: Path) -> dict[str, Any] | None:
    """The manifest store of a picture as C2PA's reader tells it, with its validation; None when it has none.

    PrevisageError: c2pa-python is not installed.
    """
    try:
        import c2pa
    except ImportError as error:
        raise PrevisageError("no_c2pa", "c2pa-python is not installed.",
                             "Run: pip install 'previsage[c2pa]'.") from error
    try:
        with c2pa.Reader(str(path)) as reader:
            return json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return None
