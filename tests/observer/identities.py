"""Plays AWS's issuer of web identity tokens: signs tokens for the role that the gate names with the run's key."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import gate
from .tokens import Forge


def _answerer(forge: Forge) -> type[BaseHTTPRequestHandler]:
    of_role = {
        identity["proofs"][0]["claims"]["sub"]: name
        for name, identity in forge.identities.items()
        if identity["proofs"][0]["issuer"] == "aws"
    }

    class Answerer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = of_role.get(asked["role_arn"])
            token = forge.token(name, asked["audience"], life_s=asked["life_s"]).encode() if name else b""
            self.send_response(200 if name else 404)
            self.send_header("Content-Length", str(len(token)))
            self.end_headers()
            self.wfile.write(token)

        def log_message(self, *_: object) -> None:
            """Logs nothing, since requests and answers hold tokens."""

    return Answerer


@contextmanager
def issuing(forge: Forge) -> Iterator[None]:
    """In the block, roles that the catalogue names get tokens signed by its issuer `aws`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _answerer(forge))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    gate.issuer(f"127.0.0.1:{server.server_port}")
    try:
        yield
    finally:
        gate.issuer(None)
        server.shutdown()
        server.server_close()
