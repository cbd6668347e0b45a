"""`pdp decide` and `pdp explain` over TLS: by a certificate of their own, and by one way to say who asks."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.profiles import profile
from typing_extensions import override

from pdp.cli.main import cli
from pdp.v1 import decision_pb2, decision_pb2_grpc, explain_pb2, explain_pb2_grpc, types_pb2

DECISION = "01a3185c-507b-774f-8000-000000000000"


class Edge(decision_pb2_grpc.DecisionServiceServicer, explain_pb2_grpc.ExplainServiceServicer):
    """Denies, and keeps who showed what: the common name of the certificate, and the token."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def _note(self, context: Any) -> None:
        name = context.auth_context().get("x509_common_name", [b""])[0].decode()
        self.seen.append((name, dict(context.invocation_metadata()).get("authorization", "")))

    @override
    def Decide(self, request: Any, context: Any) -> Any:
        self._note(context)
        return decision_pb2.DecideResponse(
            decision_id="d",
            effect=types_pb2.EFFECT_DENY,
            reasons=[types_pb2.Reason(code="policy.not_granted")],
            record=types_pb2.RecordRef(log="l", leaf_hash=b"h" * 32),
        )

    @override
    def Explain(self, request: Any, context: Any) -> Any:
        self._note(context)
        return explain_pb2.ExplainResponse(effect=types_pb2.EFFECT_DENY)


def certified(folder: Path, name: str, *sans: x509.GeneralName) -> None:
    """NAME.pem and NAME.key, self-signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
    builder = (
        builder.serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    made = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / f"{name}.pem").write_bytes(made.public_bytes(pem))
    (folder / f"{name}.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


@pytest.fixture
def edge() -> Edge:
    return Edge()


class Ports(dict[str, str]):
    """Targets: `mtls` wants a certificate of gateway or explainer, `tls` asks for none."""


@pytest.fixture
def ports(edge: Edge, tmp_path: Path) -> Iterator[Ports]:
    certified(tmp_path, "server", x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    for name in ("gateway", "explainer"):
        certified(tmp_path, name, x509.DNSName(name))
        (tmp_path / f"{name}.token").write_text(f"{name}-token\n")
    trusted = b"".join((tmp_path / f"{name}.pem").read_bytes() for name in ("gateway", "explainer"))
    pair = ((tmp_path / "server.key").read_bytes(), (tmp_path / "server.pem").read_bytes())
    server = grpc.server(futures.ThreadPoolExecutor(2))
    decision_pb2_grpc.add_DecisionServiceServicer_to_server(edge, server)
    explain_pb2_grpc.add_ExplainServiceServicer_to_server(edge, server)
    server.add_insecure_port(f"unix:{tmp_path}/pdp.sock")
    found = Ports()
    for name, credentials in (
        ("tls", grpc.ssl_server_credentials([pair])),
        ("mtls", grpc.ssl_server_credentials([pair], trusted, require_client_auth=True)),
    ):
        found[name] = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    yield found
    server.stop(0).wait()


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def call(folder: Path, **said: Any) -> Path:
    path = folder / "call.yaml"
    path.write_text(yaml.safe_dump({"server": "git", "tool": "git_status", **said}))
    return path


def test_decide_shows_its_certificate(edge: Edge, ports: Ports, tmp_path: Path) -> None:
    by_certificate = {"ca_file": "server.pem", "certificate_file": "gateway.pem", "key_file": "gateway.key"}
    done = run("decide", call(tmp_path, target=ports["mtls"], **by_certificate))
    assert done.exit_code == 10, done.output
    by_token = {"ca_file": "server.pem", "caller_token_file": "gateway.token"}
    assert run("decide", call(tmp_path, target=ports["tls"], **by_token)).exit_code == 10
    assert edge.seen == [("gateway", ""), ("", "Bearer gateway-token")]


@pytest.mark.parametrize("given", [{"certificate_file": "gateway.pem"}, {"key_file": "gateway.key"}])
def test_a_certificate_goes_with_its_key(ports: Ports, tmp_path: Path, given: dict[str, str]) -> None:
    done = run("decide", call(tmp_path, target=ports["mtls"], ca_file="server.pem", **given))
    assert (done.exit_code, "certificate_file, key_file: " in done.output) == (2, True), done.output


def test_a_socket_beside_the_file(edge: Edge, ports: Ports, tmp_path: Path) -> None:
    assert ports
    (tmp_path / "asks").mkdir()
    for where in ("unix:../pdp.sock", f"unix:{tmp_path}/pdp.sock"):
        path = call(tmp_path / "asks", target=where)
        assert run("decide", path).exit_code == 10
        assert run("explain", path).exit_code == 10
    assert len(edge.seen) == 4


def test_explain_shows_its_certificate(edge: Edge, ports: Ports, tmp_path: Path) -> None:
    tls = {"target": ports["mtls"], "ca": "server.pem"}
    own = profile(tmp_path, **tls, certificate="explainer.pem", key="explainer.key")
    assert run("explain", DECISION, *own).exit_code == 10
    done = run("explain", DECISION, *profile(tmp_path, **tls))
    assert (done.exit_code, "certificate with key" in done.output) == (2, True)
    done = run("explain", DECISION, *profile(tmp_path, **tls, certificate="explainer.pem"))
    assert (done.exit_code, "go together" in done.output) == (2, True)
    assert edge.seen == [("explainer", "")]


def test_one_way_to_say_who_asks(edge: Edge, ports: Ports, tmp_path: Path) -> None:
    """What a profile shows stands in place of what FILE would show, never beside it."""
    token = {"caller_token_file": "explainer.token"}
    certificate = {"certificate": "explainer.pem", "key": "explainer.key"}
    ca = {"ca_file": "server.pem"}
    by_token = {**ca, "caller_token_file": "gateway.token"}
    by_certificate = {**ca, "certificate_file": "gateway.pem", "key_file": "gateway.key"}
    for port, said, shown, seen in (
        ("tls", by_token, {}, ("", "Bearer gateway-token")),
        ("mtls", by_certificate, {}, ("gateway", "")),
        ("tls", by_token, token, ("", "Bearer explainer-token")),
        ("tls", by_certificate, token, ("", "Bearer explainer-token")),
        ("mtls", by_token, certificate, ("explainer", "")),
        ("mtls", by_certificate, certificate, ("explainer", "")),
    ):
        reach = profile(tmp_path, target=ports[port], ca="server.pem", **shown) if shown else ()
        done = run("explain", call(tmp_path, target=ports[port], **said), *reach)
        assert done.exit_code == 10, done.output
        assert edge.seen.pop() == seen
