"""Provenance: what is signed is found genuine; one pixel, one letter or another's key is not."""

import base64
import json
import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from PIL import Image, PngImagePlugin

from core.errors import InputRefused, PrevisageError, UsageError
from synth.provenance import KIND, STATEMENT, Origin, attest, export, sidecar_of, verify
from synth.signing import installation_key, key_name, public_text, sign, signed_by, trusted_keys


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREVISAGE_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def origin(**more: object) -> Origin:
    return Origin(**{"plan_id": "rhinoplasty", "mode": "warp3d", "input_sha256": "0" * 64, "code": "1" * 64,
                     "guard": {"passed": True, "checks": [{"value": 0.1}]}} | more)


@pytest.mark.parametrize("name", ["after.png", "after.jpg", "after.JPEG"])
def test_what_is_exported_is_genuine(tmp_path: Path, name: str) -> None:
    sidecar = export(tmp_path / name, picture(), origin(seed=7, mode="controlnet", models={"sd15": "a" * 64}))
    found = verify(tmp_path / name)
    assert found.status == "genuine" and found.signer == "this installation"
    assert "not a promise" in found.sentence and "rhinoplasty" in found.sentence
    claim = found.claim
    assert claim["kind"] == KIND and claim["statement"] == STATEMENT and claim["size_wh"] == [50, 40]
    assert (claim["plan_id"], claim["mode"], claim["seed"]) == ("rhinoplasty", "controlnet", 7)
    assert claim["models"] == {"sd15": "a" * 64} and claim["input_sha256"] == "0" * 64 and claim["guard"]["passed"]
    assert claim["digital_source_type"] == "compositeWithTrainedAlgorithmicMedia" and claim["time"].endswith("+00:00")
    assert sidecar == sidecar_of(tmp_path / name) and json.loads(sidecar.read_text())["claim"] == claim


def test_a_png_keeps_every_pixel_and_shows_what_it_is(tmp_path: Path) -> None:
    export(tmp_path / "a.png", picture(), origin())
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), picture())
        assert image.text["Description"] == STATEMENT and KIND in image.text["previsage"]
    assert verify(tmp_path / "a.png").claim["digital_source_type"] == "algorithmicallyEnhanced"


def test_a_jpeg_tells_it_in_its_exif(tmp_path: Path) -> None:
    export(tmp_path / "a.jpg", picture(), origin())
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif()[270] == STATEMENT


@pytest.mark.parametrize("where", ["both", "inside", "beside"])
def test_either_copy_of_the_claim_is_enough(tmp_path: Path, where: str) -> None:
    path = tmp_path / "a.png"
    export(path, picture(), origin())
    if where == "inside":
        sidecar_of(path).unlink()
    if where == "beside":
        Image.fromarray(picture()).save(path)
    assert verify(path).status == "genuine"


def test_without_any_claim_it_is_unsigned(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.png")
    assert verify(tmp_path / "a.png").status == "unsigned"


@pytest.mark.parametrize("keep", ["inside", "beside"])
def test_one_changed_pixel_is_found(tmp_path: Path, keep: str) -> None:
    path = tmp_path / "a.png"
    export(path, picture(), origin())
    with Image.open(path) as image:
        text = PngImagePlugin.PngInfo()
        text.add_itxt("previsage", image.text["previsage"])
    changed = picture()
    changed[3, 4, 0] ^= 1
    Image.fromarray(changed).save(path, pnginfo=text if keep == "inside" else None)
    if keep == "inside":
        sidecar_of(path).unlink()
    found = verify(path)
    assert found.status == "altered" and "picture was changed" in found.sentence


def test_a_reencoded_cropped_or_turned_picture_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    export(path, picture(), origin())
    with Image.open(path) as image:
        image.load()
        exif = image.getexif()
        image.save(path, quality=60, exif=exif)
        assert verify(path).status == "altered"
        image.crop((0, 0, 49, 40)).save(path, exif=exif)
        assert verify(path).status == "altered"
    export(path, picture(), origin())
    content = path.read_bytes()
    with Image.open(path) as image:
        exif = image.getexif()
        exif[274] = 3
        image.save(path, quality="keep", exif=exif)
    assert path.read_bytes() != content and verify(path).status == "altered"


@pytest.mark.parametrize("field", ["plan_id", "mode", "input_sha256", "time", "models", "seed", "statement", "guard"])
def test_no_word_of_the_claim_can_be_changed(tmp_path: Path, field: str) -> None:
    path = tmp_path / "a.png"
    export(path, picture(), origin())
    signed = json.loads(sidecar_of(path).read_text())
    signed["claim"][field] = "something else"
    sidecar_of(path).write_text(json.dumps(signed))
    found = verify(path)
    assert found.status == "altered" and "after it was signed" in found.sentence


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b'{"claim": {"kind": "x"}}', b"\xff\xfe",
                                     b"[" * 100_000])
def test_a_damaged_sidecar_is_altered_and_never_a_crash(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    export(path, picture(), origin())
    sidecar_of(path).write_bytes(content)
    assert verify(path).status == "altered"


def test_damaged_signatures_and_keys_are_altered(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    export(path, picture(), origin())
    signed = json.loads(sidecar_of(path).read_text())
    for name, value in (("signature", "not base64!"), ("signature", base64.b64encode(b"x" * 64).decode()),
                        ("public_key", "AAAA"), ("public_key", "\u00fc")):
        sidecar_of(path).write_text(json.dumps(signed | {name: value}))
        assert verify(path).status == "altered"


def test_the_sidecar_of_another_picture_is_found(tmp_path: Path) -> None:
    for number in (1, 2):
        export(tmp_path / f"{number}.png", picture(number), origin(plan_id=f"p{number}"))
    sidecar_of(tmp_path / "1.png").write_bytes(sidecar_of(tmp_path / "2.png").read_bytes())
    assert verify(tmp_path / "1.png").status == "altered"
    Image.fromarray(picture(1)).save(tmp_path / "1.png")
    export(tmp_path / "3.png", picture(1), origin(plan_id="p3"))
    other = export(tmp_path / "4.png", picture(1), origin(plan_id="p4"))
    sidecar_of(tmp_path / "3.png").write_bytes(other.read_bytes())
    assert "two different" in verify(tmp_path / "3.png").sentence


def test_another_installation_is_unknown_until_its_key_is_trusted(tmp_path: Path, config: Path) -> None:
    other = Ed25519PrivateKey.generate()
    path = tmp_path / "a.png"
    export(path, picture(), origin(), key=other)
    installation_key()
    found = verify(path)
    assert found.status == "unknown signer" and key_name(public_text(other)) in found.signer
    (config / "trusted").mkdir()
    (config / "trusted" / "clinic-b.pub").write_text(public_text(other) + "\n")
    assert verify(path).status == "genuine" and verify(path).signer == "clinic-b"


def test_verifying_makes_no_key(tmp_path: Path, config: Path) -> None:
    export(tmp_path / "a.png", picture(), origin(), key=Ed25519PrivateKey.generate())
    assert not config.exists()
    assert verify(tmp_path / "a.png").status == "unknown signer" and not config.exists()
    assert trusted_keys() == {}


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_the_key_is_its_owners_alone_and_stays(config: Path) -> None:
    first = public_text(installation_key())
    file = config / "signing.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and public_text(installation_key()) == first
    assert [p.name for p in config.iterdir()] == ["signing.pem"]
    file.chmod(0o644)
    with pytest.raises(PrevisageError, match="can read"):
        installation_key()


def test_several_processes_that_start_at_once_share_one_key() -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(public_text(installation_key()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1


def test_a_damaged_key_is_named(config: Path) -> None:
    other = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content in (b"nonsense", other):
        config.mkdir(exist_ok=True)
        (config / "signing.pem").write_bytes(content)
        (config / "signing.pem").chmod(0o600)
        with pytest.raises(PrevisageError) as caught:
            installation_key()
        assert caught.value.code == "key_damaged"


def test_signatures_are_of_that_content_and_key() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    signature = sign(b"content", key)
    assert signed_by(b"content", signature, public_text(key))
    assert not signed_by(b"Content", signature, public_text(key))
    assert not signed_by(b"content", signature, public_text(other))


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        export(tmp_path / "a.gif", picture(), origin())
    (tmp_path / "a.png").write_text("text")
    for path in (tmp_path / "a.png", tmp_path / "missing.png", tmp_path):
        with pytest.raises(InputRefused):
            verify(path)
    Image.fromarray(picture()).save(tmp_path / "b.gif")
    with pytest.raises(InputRefused):
        verify(tmp_path / "b.gif")


def test_a_movie_is_signed_beside_it(tmp_path: Path) -> None:
    movie = tmp_path / "turn.mp4"
    movie.write_bytes(b"frames" * 100)
    attest(movie, origin())
    assert verify(movie).status == "genuine" and "The file is as this installation" in verify(movie).sentence
    movie.write_bytes(b"Frames" * 100)
    assert verify(movie).status == "altered" and "file was changed" in verify(movie).sentence
    sidecar_of(movie).write_text("{}")
    assert verify(movie).status == "altered"
    sidecar_of(movie).unlink()
    with pytest.raises(InputRefused):
        verify(movie)
    with pytest.raises(UsageError):
        attest(tmp_path / "a.png", origin())


def test_a_files_claim_is_none_for_a_picture(tmp_path: Path) -> None:
    """A sidecar that signs a file's bytes does not vouch for a picture's pixels."""
    file, path = tmp_path / "a.bin", tmp_path / "a.png"
    Image.fromarray(picture()).save(path)
    file.write_bytes(path.read_bytes())
    attest(file, origin())
    sidecar_of(path).write_bytes(sidecar_of(file).read_bytes())
    assert verify(path).status == "altered"


def test_foreign_comments_are_not_ours(tmp_path: Path) -> None:
    """A phone's JPEG with its own comment carries no claim of ours."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0holiday"
    Image.fromarray(picture()).save(tmp_path / "a.jpg", exif=exif)
    assert verify(tmp_path / "a.jpg").status == "unsigned"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0previsage:damaged"
    Image.fromarray(picture()).save(tmp_path / "b.jpg", exif=exif)
    assert verify(tmp_path / "b.jpg").status == "altered"
