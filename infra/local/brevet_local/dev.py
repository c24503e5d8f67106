"""Makes the running stack usable by hand: issuers whose keys are here, the example catalogue, and what it grants access to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jwt
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from . import aws, catalogue, example, places

FOLDER = places.LOCAL / "dev"
"""Private keys and the published catalogue; ignored by git. `brevet dev token` reads it."""

_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}


def prepare(facts: dict[str, Any], gate: bool) -> str:
    """Publishes the example catalogue with local issuers and creates its example resources; returns the bundle's digest."""
    folder = write(facts)
    example.create(lambda service: aws.client(service, aws.endpoint(service, gate)))
    return catalogue.publish(facts, gate, folder)


def write(facts: dict[str, Any], folder: Path = FOLDER) -> Path:
    """Writes keys, audiences and the catalogue to `folder`, which only its owner can read; returns the catalogue's folder.

    Keys that exist stay, so tokens stay good while the catalogue is published again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    shutil.rmtree(folder / "catalogue", ignore_errors=True)
    shutil.copytree(places.CATALOGUE, folder / "catalogue")
    issuers = folder / "catalogue" / "issuers.yaml"
    document = yaml.safe_load(issuers.read_text())
    for issuer in document["issuers"]:
        issuer.pop("jwks_uri", None)
        issuer["jwks"] = {"keys": [_jwk(_key(folder / "keys" / f"{issuer['id']}.pem", issuer["algorithms"][0]), issuer)]}
    issuers.write_text(yaml.safe_dump(document, sort_keys=False))
    (folder / "audiences.json").write_text(json.dumps(_audiences(facts)) + "\n")
    return folder / "catalogue"


def _audiences(facts: dict[str, Any]) -> dict[str, str]:
    """The audience of each use of a token, as the functions are configured."""
    given = {name: value for one in facts["functions"] for name, value in one["environment"].items()}
    return {"asking": given["BREVET_ASK_AUDIENCE"], "voting": given["BREVET_APPROVALS_AUDIENCE"],
            "credentials": given["BREVET_CREDENTIALS_AUDIENCE"]}  # fmt: skip


def _key(file: Path, algorithm: str) -> Any:
    """The private key in `file`, made if it is not there."""
    if file.exists():
        return serialization.load_pem_private_key(file.read_bytes(), None)
    curve = _CURVES.get(algorithm)
    key = ec.generate_private_key(curve()) if curve else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.touch(mode=0o600)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(key.private_bytes(*form))
    return key


def _jwk(key: Any, issuer: dict[str, Any]) -> dict[str, Any]:
    """The public half, as an issuer publishes it."""
    algorithm = issuer["algorithms"][0]
    signer = jwt.algorithms.RSAAlgorithm if algorithm == "RS256" else jwt.algorithms.ECAlgorithm
    public = json.loads(signer.to_jwk(key.public_key()))
    public.pop("key_ops", None)
    return {**public, "kid": issuer["id"], "alg": algorithm, "use": "sig"}


def commands() -> str:
    """Three commands that work on this stack: ask, fetch credentials, release."""
    brevet = places.BINARIES / "brevet"
    folder = "" if FOLDER == places.CHECKOUT / ".local" / "dev" else f" --folder {FOLDER}"
    bearer = f'-H "Authorization: Bearer $({brevet} dev token release-pipeline'
    api = f"{places.url('http')}/v1/grants"
    body = '{"entitlement": "deploy-release", "parameters": {"version": "v1.2.3"}, "term_s": 600}'
    parse = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"id\"])'"
    return "\n".join([
        f"GRANT=$(curl -s {api} {bearer}{folder})\" -H 'Idempotency-Key: '$RANDOM -H 'Content-Type: application/json' \\",
        f"  -d '{body}' | {parse})",
        f'curl -s -X POST {api}/$GRANT/credentials {bearer} --for credentials{folder})"',
        f'curl -s -X POST {api}/$GRANT/release {bearer}{folder})"',
    ])  # fmt: skip
