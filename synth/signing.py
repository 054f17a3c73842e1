"""Signing: the Ed25519 key of this installation, and the signatures of others that a person trusts.

    <config>/signing.pem     private key, PKCS 8, readable by its owner alone; made when first needed
    <config>/trusted/*.pub   public keys (base64) of other installations, put there by a person

<config> is $PREVISAGE_CONFIG, or `previsage` in the user's configuration folder. A signature proves that a picture
was not altered since an installation signed it; whose installation that is, the person knows who put its key here.
"""

import base64
import contextlib
import hashlib
import os
import uuid
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from core.errors import PrevisageError
from core.files import disk_errors
from core.places import own_folder

WHERE = "PREVISAGE_CONFIG"
KEY_FILE, TRUSTED = "signing.pem", "trusted"


def config_folder() -> Path:
    """Where this installation's key lies."""
    return own_folder(WHERE, "config")


def installation_key(folder: Path | None = None) -> Ed25519PrivateKey:
    """The installation's private key, made and stored (0600) when there is none.

    PrevisageError: the file is damaged, others can read it, or the folder cannot be written.
    """
    path = (folder or config_folder()) / KEY_FILE
    if not path.exists():
        new_key_file(path)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise PrevisageError("key_open", f"Others than you can read {path}.",
                             "Run chmod 600 on it; if others may have copied it, delete it: a new key is then made.")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PrevisageError("key_damaged", f"{path} is not the key of this installation.",
                             "Delete it: a new key is made, and older pictures count as another's.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise PrevisageError("key_damaged", f"{path} holds another kind of key.", "Delete it: a new key is made.")
    return key


def new_key_file(path: Path) -> None:
    """A new private key, whole or not at all; the first of several processes that make one wins."""
    content = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def public_text(key: Ed25519PrivateKey) -> str:
    """The public key in base64, to give to those who shall trust it."""
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def key_name(public: str) -> str:
    """A short name for a public key, for people."""
    return hashlib.sha256(public.encode()).hexdigest()[:12]


def sign(content: bytes, key: Ed25519PrivateKey) -> str:
    """The signature in base64."""
    return base64.b64encode(key.sign(content)).decode()


def signed_by(content: bytes, signature: str, public: str) -> bool:
    """Whether the signature of the content is that key's; False, too, for what is no key or no signature."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
        key.verify(base64.b64decode(signature, validate=True), content)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def trusted_keys(folder: Path | None = None) -> dict[str, str]:
    """Public keys by whose they are: `this installation`, and the files of <config>/trusted. None is made here."""
    config = folder or config_folder()
    known = {}
    if (config / KEY_FILE).exists():
        known[public_text(installation_key(config))] = "this installation"
    for path in sorted((config / TRUSTED).glob("*.pub")):
        known.setdefault(path.read_text("utf-8", errors="replace").strip(), path.stem)
    return known
