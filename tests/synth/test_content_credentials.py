"""C2PA with a certificate made here: present, valid, harmless to our own claim; and clear when it cannot be."""

import datetime
import sys
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from core.errors import PrevisageError
from synth.content_credentials import credentials_of, credentials_wanted
from synth.provenance import Origin, export, sidecar_of, verify

pytest.importorskip("c2pa", reason="c2pa-python is not installed")
ORIGIN = Origin(plan_id="chin", mode="warp3d", input_sha256="0" * 64, code="1")


def certificate(name: str, public: ec.EllipticCurvePublicKey, issuer: str, signing: ec.EllipticCurvePrivateKey,
                authority: bool) -> bytes:
    """A certificate in PEM: an authority's own, or one for signing content."""
    def named(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test clinic"),
                          x509.NameAttribute(NameOID.COMMON_NAME, common)])

    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    use = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                         "encipher_only", "decipher_only"), False)
    builder = (x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer)).public_key(public)
               .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + 30 * day)
               .add_extension(x509.BasicConstraints(authority, None), True)
               .add_extension(x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority,
                                            crl_sign=authority, **use), True)
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
               .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False))
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return builder.sign(signing, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration folder with a certificate of a small authority."""
    monkeypatch.setenv("PREVISAGE_CONFIG", str(tmp_path / "config"))
    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    folder = tmp_path / "config" / "c2pa"
    folder.mkdir(parents=True)
    chain = (certificate("Signer", own.public_key(), "Root", root, False)
             + certificate("Root", root.public_key(), "Root", root, True))
    (folder / "certificate.pem").write_bytes(chain)
    (folder / "private_key.pem").write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_an_export_carries_both_proofs(tmp_path: Path, place: Path, name: str) -> None:
    path = tmp_path / name
    export(path, picture(), ORIGIN)
    sidecar_of(path).unlink()  # our claim inside survives the manifest
    assert verify(path).status == "genuine"
    store = credentials_of(path)
    made = store["manifests"][store["active_manifest"]]
    assert store["validation_state"] == "Valid" and made["signature_info"]["issuer"] == "Test clinic"
    actions = next(a for a in made["assertions"] if a["label"].startswith("c2pa.actions"))["data"]["actions"]
    assert actions[0]["digitalSourceType"].endswith("algorithmicallyEnhanced")
    assert next(a for a in made["assertions"] if a["label"] == "org.previsage.provenance")["data"]["plan_id"] == "chin"
    assert [p.name for p in tmp_path.iterdir() if p.name != "config"] == [name]


def test_c2pa_notices_an_altered_picture(tmp_path: Path, place: Path) -> None:
    path = tmp_path / "a.png"
    export(path, picture(), ORIGIN)
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 400] ^= 1
    path.write_bytes(content)
    assert credentials_of(path)["validation_state"] == "Invalid"


def test_without_a_certificate_there_are_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVISAGE_CONFIG", str(tmp_path / "config"))
    assert not credentials_wanted()
    export(tmp_path / "a.png", picture(), ORIGIN)
    assert credentials_of(tmp_path / "a.png") is None


def test_half_a_pair_is_named(tmp_path: Path, place: Path) -> None:
    (place / "private_key.pem").unlink()
    with pytest.raises(PrevisageError) as caught:
        export(tmp_path / "a.png", picture(), ORIGIN)
    assert caught.value.code == "c2pa_half"


def test_a_certificate_that_is_refused_leaves_the_picture_signed_by_us(tmp_path: Path, place: Path) -> None:
    (place / "certificate.pem").write_text("no certificate")
    with pytest.raises(PrevisageError) as caught:
        export(tmp_path / "a.png", picture(), ORIGIN)
    assert caught.value.code == "c2pa_refused"
    assert verify(tmp_path / "a.png").status == "genuine"
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), picture())
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "config") == ["a.png", "a.png.provenance.json"]


def test_a_missing_package_is_named(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(PrevisageError) as caught:
        export(tmp_path / "a.png", picture(), ORIGIN)
    assert caught.value.code == "no_c2pa" and "pip install" in caught.value.hint
