"""Signs tokens as the catalogue's issuers would, with keys that live for one run.

The catalogue of a run is a copy of the example catalogue in which only `issuers.yaml` differs: it holds the public
halves of these keys instead of URLs. Issuers, algorithms and identities' claims are read from the catalogue.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

import jwt
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ASK = "brevet"
CREDENTIALS = "brevet/credentials"
CATALOGUE = Path(__file__).resolve().parents[2] / "infra" / "catalogue"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """A private key for one algorithm (RS256, ES256 or ES384), and its public half as a JWK."""

    def __init__(self, algorithm: str, kid: str) -> None:
        self.algorithm, self.kid = algorithm, kid
        if algorithm == "RS256":
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            signer = jwt.algorithms.RSAAlgorithm
        else:
            curve = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}[algorithm]
            self.private = ec.generate_private_key(curve())
            signer = jwt.algorithms.ECAlgorithm
        public = json.loads(signer.to_jwk(self.private.public_key()))
        public.pop("key_ops", None)
        self.jwk = {**public, "kid": kid, "alg": algorithm, "use": "sig"}

    def sign(self, claims: dict[str, Any], headers: dict[str, Any] | None = None) -> str:
        """Signs `claims` as a compact JWS."""
        return jwt.encode(claims, self.private, self.algorithm, headers={"kid": self.kid, **(headers or {})})

    def public_pem(self) -> bytes:
        """The public half as PEM, which an attacker would use as an HMAC secret."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, form)


class Forge:
    """All issuers of the catalogue, each with a fresh key."""

    def __init__(self, catalogue: Path = CATALOGUE) -> None:
        self.catalogue = catalogue
        self.document = yaml.safe_load((catalogue / "issuers.yaml").read_text())
        self.issuers = {issuer["id"]: issuer for issuer in self._issuers(self.document)}
        self.keys = {
            name: Key(issuer["algorithms"][0], f"{name}-1") for name, issuer in self.issuers.items()
        }
        self.identities = {}
        for path in sorted((catalogue / "identities").glob("*.yaml")):
            identity = yaml.safe_load(path.read_text())
            self.identities[identity["id"]] = identity

    @staticmethod
    def _issuers(document: Any) -> list[dict[str, Any]]:
        return document["issuers"] if isinstance(document, dict) else document

    def write_catalogue(self, folder: Path) -> Path:
        """Writes the catalogue of this run to `folder`, replacing its content.

        It leaves out the schedules, so that a run does not depend on the time of day. A test of schedules adds its own.
        """
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.catalogue, folder, ignore=shutil.ignore_patterns("schedules"))
        document = json.loads(json.dumps(self.document))
        for issuer in self._issuers(document):
            issuer.pop("jwks_uri", None)
            issuer["jwks"] = {"keys": [self.keys[issuer["id"]].jwk]}
        (folder / "issuers.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        return folder

    def claims(self, identity: str, audience: Any = ASK, *, task: str | None = None, life_s: int = 900) -> dict[str, Any]:
        """The claims that prove `identity` by its first proof rule in the catalogue, valid from now on."""
        rule = self.identities[identity]["proofs"][0]
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuers[rule["issuer"]]["issuer"],
            "sub": f"subject-of-{identity}",
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + life_s,
            "jti": uuid.uuid4().hex,
            **rule["claims"],
        }
        if rule.get("task"):
            claims[rule["task"]] = task or f"task-of-{identity}"
        return claims

    def key_of(self, identity: str) -> Key:
        """The issuer's key for `identity`."""
        return self.keys[self.identities[identity]["proofs"][0]["issuer"]]

    def token(self, identity: str, audience: Any = ASK, **changes: Any) -> str:
        """A valid token of `identity`. `changes` replaces claims, or drops those that are `None`."""
        task, life_s = changes.pop("task", None), changes.pop("life_s", 900)
        claims = {**self.claims(identity, audience, task=task, life_s=life_s), **changes}
        return self.key_of(identity).sign({k: v for k, v in claims.items() if v is not None})

    @staticmethod
    def signed_in(*methods: str, ago_s: int = 0) -> dict[str, Any]:
        """The claims of a sign-in `ago_s` seconds ago by `methods` (`mfa` means two factors)."""
        return {"amr": list(methods), "auth_time": int(time.time()) - ago_s}

    def unsigned(self, identity: str, audience: Any = ASK) -> str:
        """A token with `alg: none` and no signature."""
        header = {"alg": "none", "typ": "JWT", "kid": self.key_of(identity).kid}
        parts = (json.dumps(part).encode() for part in (header, self.claims(identity, audience)))
        return ".".join(map(_b64, parts)) + "."

    def hmac_signed(self, identity: str, audience: Any = ASK) -> str:
        """A token signed with HS256 and the issuer's public key as the secret.

        The library refuses to sign like this.
        """
        key = self.key_of(identity)
        header = {"alg": "HS256", "typ": "JWT", "kid": key.kid}
        parts = (json.dumps(part).encode() for part in (header, self.claims(identity, audience)))
        signed = ".".join(map(_b64, parts))
        return signed + "." + _b64(hmac.digest(key.public_pem(), signed.encode(), hashlib.sha256))

    def signed_by_another_key(self, identity: str, audience: Any = ASK) -> str:
        """A token with the right claims and key id, signed with a key that is not the issuer's."""
        key = self.key_of(identity)
        return Key(key.algorithm, key.kid).sign(self.claims(identity, audience))
