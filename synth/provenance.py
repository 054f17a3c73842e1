"""Provenance: where a picture comes from, signed, in the file itself and in a file beside it.

    picture.png                     the claim in the file's own metadata (PNG text chunk, JPEG EXIF)
    picture.png.provenance.json     the same claim, for whoever strips metadata

The claim binds the decoded pixels, so a copy that keeps every pixel keeps its proof, and one changed pixel breaks it;
files that are no pictures (`attest`) are bound byte for byte.
It is signed with the installation's Ed25519 key (`synth.signing`). It names hashes and versions, never the person.
"""

import base64
import datetime
import hashlib
import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jaxtyping import UInt8
from PIL import ExifTags, Image, PngImagePlugin

from core.errors import InputRefused, UsageError
from core.files import plain, sha256, write_bytes, write_json
from core.records import record
from synth.content_credentials import add_credentials, credentials_wanted
from synth.signing import installation_key, key_name, public_text, sign, signed_by, trusted_keys

KIND = "previsage-provenance/1"
STATEMENT = "Simulation of an operation, not a promise of its result. Not a photograph of the result."
SOURCE_TYPES = {False: "algorithmicallyEnhanced", True: "compositeWithTrainedAlgorithmicMedia"}
"""IPTC's digital source types: a picture bent by rules, and one in which a trained network painted."""
CHUNK = "previsage"
"""Keyword of the PNG text chunk; in JPEG the claim is the EXIF user comment."""
COMMENT = b"ASCII\0\0\0previsage:"
SIDECAR = ".provenance.json"
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
LONGEST_CLAIM = 1_000_000
"""Bytes; ours have two thousand."""

Status = Literal["genuine", "altered", "unknown signer", "unsigned"]


@record
class Origin:
    """What a picture was made from. input_sha256: of the frame's file. models: version or checksum of every network
    that painted, by name; empty for warp3d and for renders. seed: of the generative modes. photoreal: False for the
    plain render that stands in. guard: `Verdict.as_record()`, or None where nothing was guarded. more: JSON-ready.
    """

    plan_id: str
    mode: str
    input_sha256: str
    code: str
    photoreal: bool = True
    models: dict[str, str] | None = None
    seed: int | None = None
    guard: dict[str, Any] | None = None
    more: dict[str, Any] | None = None


@record
class Verified:
    """What a file's provenance says. signer: `this installation`, a trusted name, or a key's short name, or ''."""

    status: Status
    sentence: str
    signer: str
    claim: dict[str, Any] | None


def export(path: Path, picture: UInt8[np.ndarray, "h w 3"], origin: Origin, key: Ed25519PrivateKey | None = None,
           quality: int = 95, profile: bytes | None = None, alpha: UInt8[np.ndarray, "h w"] | None = None) -> Path:
    """Write a picture (.png, .jpg) with its signed claim inside, and the sidecar; the sidecar's path.

    picture: as people will see it, with its visible mark (`render.mark.marked_corner`). key: None takes the
    installation's. With a C2PA certificate in the configuration folder the file gets content credentials, too
    (`synth.content_credentials`). profile: the picture's colours (ICC; None is sRGB). alpha: opacity, in a .png.
    UsageError: another kind of file. PrevisageError: the disk, the key, the certificate.
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UsageError("bad_format", f"{path.name} cannot carry its provenance.", "Write a .png or a .jpg file.")
    key = installation_key() if key is None else key
    image = Image.fromarray(picture)
    if alpha is not None and kind == "PNG":
        image.putalpha(Image.fromarray(alpha))
    content = encoded(image, kind, quality, None, profile)
    signed = signed_claim(claim_of(pixels_sha256(content), picture.shape, origin), key)
    write_bytes(path, encoded(image, kind, quality, json.dumps(signed, sort_keys=True), profile))
    sidecar = sidecar_of(path)
    write_json(sidecar, signed)
    if credentials_wanted():
        add_credentials(path, signed["claim"])
    return sidecar


def attest(path: Path, origin: Origin, key: Ed25519PrivateKey | None = None) -> Path:
    """Sign a file that is no picture (a movie, a report, a model), as its bytes are, beside it; the sidecar's path.

    UsageError: it is a picture, which `export` writes with the claim inside.
    """
    path = Path(path)
    if path.suffix.lower() in FORMATS:
        raise UsageError("bad_format", f"{path.name} is a picture.", "Write it with `export`.")
    claim = {**claim_of(None, None, origin), "file_sha256": sha256(path)}
    write_json(sidecar_of(path), signed_claim(claim, installation_key() if key is None else key))
    return sidecar_of(path)


def verify(path: Path, folder: Path | None = None) -> Verified:
    """Whether a picture, or a file with a claim beside it, is as it was signed, and by whom.

    folder: the configuration folder with the known keys. InputRefused: the file is missing or no picture. What is
    damaged in the claim counts as altered.
    """
    path = Path(path)
    try:
        if path.suffix.lower() not in FORMATS and path.is_file() and sidecar_of(path).is_file():
            return judged(beside_of(path), "file_sha256", sha256(path), trusted_keys(folder))
        content = path.read_bytes()
        now = pixels_sha256(content)
        claims = found_claims(path, content)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputRefused("no_picture", f"{path} cannot be read as a picture.",
                           "Name a PNG or JPEG file that Previsage wrote.") from error
    if not claims:
        return Verified(status="unsigned", signer="", claim=None,
                        sentence=f"{path.name} carries no provenance: nothing is known about how it was made.")
    verdicts = [judged(claim, "pixels_sha256", now, trusted_keys(folder)) for claim in claims]
    worst = max(verdicts, key=lambda v: ("genuine", "unknown signer", "altered").index(v.status))
    if worst.status != "altered" and len({json.dumps(c, sort_keys=True) for c in claims}) > 1:
        return Verified(status="altered", signer=worst.signer, claim=worst.claim,
                        sentence="The provenance in the picture and the file beside it are of two different pictures.")
    return worst


def judged(signed: dict[str, Any] | None, field: str, now: str, known: dict[str, str]) -> Verified:
    """One claim against the pixels, or the file, as they are now. None: a claim that cannot be read."""
    if signed is None:
        return Verified(status="altered", signer="", claim=None, sentence="The provenance was damaged.")
    claim, public = signed["claim"], signed["public_key"]
    signer = known.get(public, f"installation {key_name(public)}")
    if not signed_by(canonical(claim), signed["signature"], public):
        return Verified(status="altered", signer=signer, claim=claim,
                        sentence="The provenance was changed after it was signed.")
    what = "file" if field == "file_sha256" else "picture"
    if claim.get(field) != now:
        return Verified(status="altered", signer=signer, claim=claim,
                        sentence=f"The {what} was changed after it was signed.")
    made = f"{claim.get('mode')} of plan {claim.get('plan_id')}, {str(claim.get('time'))[:10]}"
    if public not in known:
        return Verified(status="unknown signer", signer=signer, claim=claim,
                        sentence=f"The {what} is as {signer} signed it ({made}), which is not known here.")
    return Verified(status="genuine", signer=signer, claim=claim,
                    sentence=f"The {what} is as {signer} signed it: {made}. {claim.get('statement')}")


def claim_of(pixels: str | None, shape: tuple[int, ...] | None, origin: Origin) -> dict[str, Any]:
    """Everything that is signed; without a picture its checksum and size are None."""
    models = origin.models or {}
    return plain({
        "kind": KIND, "statement": STATEMENT, "pixels_sha256": pixels,
        "size_wh": None if shape is None else [shape[1], shape[0]],
        "digital_source_type": SOURCE_TYPES[bool(models)], "plan_id": origin.plan_id, "mode": origin.mode,
        "photoreal": origin.photoreal, "input_sha256": origin.input_sha256, "models": models, "seed": origin.seed,
        "code": origin.code, "guard": origin.guard, "more": origin.more or {},
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")})


def signed_claim(claim: dict[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """The claim with its signature and the key to check it by."""
    return {"claim": claim, "signature": sign(canonical(claim), key), "public_key": public_text(key),
            "algorithm": "Ed25519 over the claim as JSON with sorted keys and no spaces"}


def canonical(claim: Any) -> bytes:
    """The bytes that are signed."""
    return json.dumps(claim, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def pixels_sha256(content: bytes) -> str:
    """Checksum of a picture file's decoded pixels and their size; ValueError: it is not one still picture of ours."""
    with Image.open(io.BytesIO(content)) as image:
        if image.format not in FORMATS.values() or getattr(image, "n_frames", 1) != 1:
            raise ValueError(f"a picture of kind {image.format}")
        turned = image.getexif().get(ExifTags.Base.Orientation, 1)
        pixels = np.asarray(image.convert("RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB"))
    head = f"{pixels.shape} {turned} ".encode()  # a picture that viewers turn is another one
    return hashlib.sha256(head + pixels.tobytes()).hexdigest()


def encoded(image: Image.Image, kind: str, quality: int, claim: str | None, profile: bytes | None = None) -> bytes:
    """The file's bytes, with the claim in its metadata."""
    out = io.BytesIO()
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        if claim is not None:
            text.add_text("Description", STATEMENT)
            text.add_text("Software", "Previsage")
            text.add_itxt(CHUNK, claim)
        image.save(out, "PNG", pnginfo=text, icc_profile=profile, compress_level=3)
        return out.getvalue()
    exif = Image.Exif()
    if claim is not None:
        exif[ExifTags.Base.ImageDescription] = STATEMENT
        exif[ExifTags.Base.Software] = "Previsage"
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = COMMENT + base64.b64encode(claim.encode())
    image.save(out, "JPEG", quality=quality, subsampling=0, exif=exif, icc_profile=profile)
    return out.getvalue()


def found_claims(path: Path, content: bytes) -> list[dict[str, Any] | None]:
    """The claims in the file and beside it; None for one that is there and cannot be read."""
    texts: list[str | None] = []
    with Image.open(io.BytesIO(content)) as image:
        if image.format == "PNG":
            image.load()  # text may stand behind the pixels
            text = getattr(image, "text", {}).get(CHUNK)
            texts += [] if text is None else [str(text)]
        else:
            comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
            raw = comment.encode("latin-1", "replace") if isinstance(comment, str) else bytes(comment)
            texts += [from_comment(raw)] if raw.startswith(COMMENT) else []
    return [parsed(text) for text in texts] + ([beside_of(path)] if sidecar_of(path).is_file() else [])


def beside_of(path: Path) -> dict[str, Any] | None:
    """The claim in the sidecar; None when it cannot be read."""
    sidecar = sidecar_of(path)
    return parsed(sidecar.read_text("utf-8", errors="replace")) if sidecar.stat().st_size < LONGEST_CLAIM else None


def from_comment(raw: bytes) -> str | None:
    """The claim in an EXIF comment of ours; None when it is damaged."""
    try:
        return base64.b64decode(raw.removeprefix(COMMENT), validate=True).decode()
    except ValueError:
        return None


def parsed(text: str | None) -> dict[str, Any] | None:
    """A signed claim of ours, or None."""
    try:
        signed = json.loads(text or "")
        fits = signed["claim"]["kind"] == KIND and isinstance(signed["signature"], str)
        return signed if fits and isinstance(signed["public_key"], str) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def sidecar_of(path: Path) -> Path:
    """The file beside a picture."""
    return path.with_name(path.name + SIDECAR)
