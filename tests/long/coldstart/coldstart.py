#!/usr/bin/env python3
"""Measures two cold-start times of `issue` in a release build, and compares it with a function that does nothing.

1. From process start to the first poll of the Runtime API, both functions.
2. From the first event to the first HTTPS request (which needs the first TLS handshake), `issue` only.

Usage: coldstart.py [--runs N] DIR      DIR holds the release binaries `issue` and `bare`. Run by `make coldstart`.

Two small servers stand for the Runtime API and AWS. The runs of both functions alternate, so that the machine's noise
affects both alike. Quote the medians and the ratio, not single figures.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

EVENT = {
    "version": "2.0",
    "routeKey": "POST /v1/grants/{id}/credentials",
    "rawPath": "/v1/grants/grt_01ARZ3NDEKTSV4RRFFQ69G5FAV/credentials",
    "rawQueryString": "",
    "headers": {"authorization": "Bearer e30.e30.e30", "content-type": "application/json"},
    "pathParameters": {"id": "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV"},
    "requestContext": {
        "accountId": "000000000000", "apiId": "api", "domainName": "localhost", "domainPrefix": "api",
        "http": {"method": "POST", "path": "/v1/grants/grt_01ARZ3NDEKTSV4RRFFQ69G5FAV/credentials",
                 "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "coldstart"},
        "requestId": "cold", "routeKey": "POST /v1/grants/{id}/credentials", "stage": "$default",
        "time": "22/Nov/2026:00:00:00 +0000", "timeEpoch": 1795305600000,
    },
    "isBase64Encoded": False,
}


class Marks:
    """The first instant of each event in one run, by the monotonic clock."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.done = threading.Event()

    def first(self, what: str) -> None:
        self.at.setdefault(what, time.monotonic())


def handler(marks: Marks, tls: bool) -> type[BaseHTTPRequestHandler]:
    """The Runtime API (plain) or AWS (TLS), as far as a first event needs them."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            if "poll" in marks.at:
                marks.done.wait(30)
                return
            marks.first("poll")
            deadline = str(int((time.time() + 30) * 1000))
            self.answer(200, json.dumps(EVENT).encode(), {
                "Content-Type": "application/json", "Lambda-Runtime-Aws-Request-Id": "cold",
                "Lambda-Runtime-Deadline-Ms": deadline, "Lambda-Runtime-Trace-Id": "Root=1-0-0",
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:cold",
            })
            marks.first("event")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if tls:
                marks.first("https")
                error = b'{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException","message":"no"}'
                self.answer(400, error, {"Content-Type": "application/x-amz-json-1.0"})
            else:
                self.answer(202, b"", {})
                marks.first("answer")
                marks.done.set()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def certificates(folder: Path) -> tuple[Path, Path]:
    """A certificate authority, and its certificate for localhost with the key."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def made(name: str, issuer: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, ca: bool):
        named = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer)]
        builder = (
            x509.CertificateBuilder().subject_name(named[0]).issuer_name(named[1]).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        )
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    trusted, served = folder / "authority.pem", folder / "localhost.pem"
    trusted.write_bytes(made("authority", "authority", authority, authority, True))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    served.write_bytes(private + made("localhost", "authority", key, authority, False))
    return trusted, served


class Server(ThreadingHTTPServer):
    """Ignores the connections that the killed process leaves behind."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


def serve(marks: Marks, pem: Path | None) -> ThreadingHTTPServer:
    server = Server(("127.0.0.1", 0), handler(marks, pem is not None))
    if pem is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def run(binary: Path, trusted: Path, served: Path) -> dict[str, float]:
    """One cold start, in milliseconds."""
    marks = Marks()
    runtime, aws = serve(marks, None), serve(marks, served)
    environment = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime.server_address[1]}",
        "AWS_LAMBDA_FUNCTION_NAME": "cold", "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIDCOLD", "AWS_SECRET_ACCESS_KEY": "cold",
        "AWS_ENDPOINT_URL": f"https://localhost:{aws.server_address[1]}", "SSL_CERT_FILE": str(trusted),
        "BREVET_DEPLOYMENT": "cold", "BREVET_ACCOUNT": "000000000000", "BREVET_PARTITION": "aws",
        "BREVET_TABLE": "brevet-cold", "BREVET_SKEW_S": "60", "BREVET_QUIET_S": "10", "BREVET_HEARTBEAT_MAX_AGE_S": "180",
        "BREVET_OVERDUE_S": "180", "BREVET_MAX_OVERDUE": "10",
        "BREVET_BUNDLE_MAX_AGE_S": "900",
        "BREVET_ASK_AUDIENCE": "brevet", "BREVET_APPROVALS_AUDIENCE": "brevet/approvals",
        "BREVET_CREDENTIALS_AUDIENCE": "brevet/credentials", "PATH": os.environ["PATH"],
    }
    started = time.monotonic()
    process = subprocess.Popen([binary], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    answered = marks.done.wait(20)
    process.kill()
    output = process.communicate()[0].decode(errors="replace")
    runtime.shutdown(), aws.shutdown()
    if not answered:
        raise SystemExit(f"{binary.name} gave no answer within 20 s; its output:\n{output}")
    at = marks.at
    figures = {"to first poll": (at["poll"] - started) * 1000}
    if binary.name == "issue" and "https" not in at:
        raise SystemExit(f"issue made no HTTPS request, so nothing is measured; its output:\n{output}")
    if "https" in at:
        figures["event to first HTTPS request"] = (at["https"] - at["event"]) * 1000
    return figures


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=15)
    arguments.add_argument("folder", type=Path)
    options = arguments.parse_args()
    seen: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        trusted, served = certificates(Path(folder))
        for round_number in range(options.runs + 1):
            for name in ("bare", "issue"):
                for figure, value in run(options.folder / name, trusted, served).items():
                    if round_number:  # the first round only warms the page cache
                        seen.setdefault((name, figure), []).append(value)
    print(f"{options.runs} runs each, alternating; milliseconds as min / median / max")
    for (name, figure), values in sorted(seen.items()):
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{name:6} {figure:30} {low:8.1f} / {middle:8.1f} / {high:8.1f}")
    poll = [statistics.median(seen[name, "to first poll"]) for name in ("issue", "bare")]
    print(f"issue / bare, to first poll: {poll[0] / poll[1]:.2f}")
    for name in ("bare", "issue"):
        print(f"{name:6} binary {(options.folder / name).stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
