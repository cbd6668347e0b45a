"""Fair shares over gRPC: a session that asks all there is leaves the others their answers, however it asks."""

import concurrent.futures
import dataclasses
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from served import ALLOW, Refused, Served, ask, make_world, served, until
from support.gateways import call, check
from test_faults_limits import Gate

from devtools.sandbox import ALICE, BOB
from pdp.core.call.shares import Dimension, Rates
from pdp.v1 import decision_pb2_grpc
from pdp.vendored import ext_authz_pb2_grpc, ext_mcp_pb2, ext_mcp_pb2_grpc
from pdp.wire.grpc.status import WAIT_KEY

BURST, PLACES = 10, 16
FRANK = dataclasses.replace(ALICE, id="frank")
SLOW = {"per_second": 0.01, "burst": BURST}  # no token comes back while a test runs
WIDE = {"in_flight": 1, "per_second": 1000, "burst": 1000}
OVER: dict[str, Any] = {
    "gateways": {"backends": {"git-backend": "git"}},
    "service": {
        "max_in_flight": PLACES,
        "shares": {"tenant": WIDE, "caller": WIDE, "subject": WIDE, "session": {"in_flight": 0.25, **SLOW}},
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(make_world(tmp_path_factory.mktemp("s") / "w", OVER, definition_check="none")) as found:
        yield found


@pytest.fixture
def session() -> str:
    return str(uuid.uuid4())


def outcome(server: Served, **asked: Any) -> str:
    """What comes of one question: "allow", or the code of its refusal."""
    caller = asked.pop("caller", "gateway")
    try:
        return "allow" if server.decide(caller=caller, **asked).effect == ALLOW else "deny"
    except Refused as refused:
        return refused.code if refused.status is grpc.StatusCode.RESOURCE_EXHAUSTED else refused.status.name


def test_a_session_that_hammers_starves_no_other_caller(server: Served, session: str) -> None:
    before, bob = len(server.records("decision")), server.person(BOB)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        hammered = [pool.submit(outcome, server, session=session) for _ in range(60)]
        assert {outcome(server, bearer=bob, session="b", caller="second") for _ in range(BURST)} == {"allow"}
        found = Counter(each.result() for each in hammered)
    while (more := outcome(server, session=session)) == "allow":
        found[more] += 1
    assert more == "service.rate"
    assert found["allow"] == BURST
    assert set(found) <= {"allow", "service.rate", "service.overloaded"}
    assert len(server.records("decision")) == before + 2 * BURST  # what is refused leaves no record


def test_places_of_a_session(server: Served, session: str) -> None:
    with server.instead(Gate(server)) as gate, concurrent.futures.ThreadPoolExecutor(PLACES) as pool:
        mine = [pool.submit(outcome, server, session=session) for _ in range(PLACES // 4)]
        until(lambda: gate.waiting == PLACES // 4)
        assert outcome(server, session=session) == "service.overloaded"
        others = [pool.submit(outcome, server, session=str(uuid.uuid4())) for _ in range(PLACES // 4)]
        others += [pool.submit(outcome, server, caller="second") for _ in range(PLACES // 4)]
        until(lambda: gate.waiting == 3 * (PLACES // 4))
        gate.open()
        assert {each.result() for each in (*mine, *others)} == {"allow"}
    assert outcome(server, session=session) == "allow"  # its places are free again


def test_each_answer_of_a_batch_counts(server: Served, session: str) -> None:
    questions = [ask(bearer=server.alice(), session=session) for _ in range(2 * BURST)]
    items = server.batch(*questions, ask(bearer=server.alice()))
    codes = [item.error.code if item.HasField("error") else 0 for item in items]
    assert codes == [0] * BURST + [grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]] * BURST + [0]
    assert all(item.response.effect == ALLOW for item in items if not item.HasField("error"))
    assert outcome(server, session=session) == "service.rate"


def test_a_list_and_a_repeat_count_too(server: Served, session: str) -> None:
    request = ask(bearer=server.alice(), session=session)
    for _ in range(BURST - 1):
        assert server.decide(request).effect == ALLOW
    server.filter(session={"id": session})
    with pytest.raises(Refused) as caught:
        server.filter(session={"id": session})
    assert caught.value.code == "service.rate"
    assert outcome(server, request=request) == "service.rate"


def test_the_refusal_says_when_to_ask_again(server: Served, session: str) -> None:
    for _ in range(BURST):
        outcome(server, session=session)
    stub = decision_pb2_grpc.DecisionServiceStub(server.channel())
    with pytest.raises(grpc.RpcError) as caught:
        stub.Decide(ask(bearer=server.alice(), session=session), timeout=60, metadata=server.metadata("gateway"))
    said = dict(caught.value.trailing_metadata())
    assert 0 < int(said[WAIT_KEY]) <= 100_000
    assert session not in caught.value.details()


def test_gateways_calls_take_from_the_subjects_share(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """They name no session; so its subject's, narrowed for this test."""
    shares = server.process.services.decide.shares
    wide = shares._rates.shares
    monkeypatch.setattr(shares, "_rates", Rates({**wide, Dimension.SUBJECT: wide[Dimension.SESSION]}))
    authz, frank = ext_authz_pb2_grpc.AuthorizationStub(server._shared()), server.person(FRANK)
    mcp = ext_mcp_pb2_grpc.ExtMcpStub(server._shared())
    request = ext_mcp_pb2.McpRequest(
        service_names=("git-backend",),
        method="tools/call",
        mcp_request=b'{"name": "git_status"}',
        headers=[ext_mcp_pb2.McpHeader(key="Authorization", value=f"Bearer {frank}".encode())],
    )
    passed = [server.call(authz.Check, check(call(), bearer=frank)).status.code == 0 for _ in range(BURST)]
    refused = server.call(authz.Check, check(call(), bearer=frank))
    assert all(passed)
    assert refused.status.code != 0
    assert b"service.rate" in refused.SerializeToString()
    error = server.call(mcp.CheckRequest, request).error
    assert error.code == ext_mcp_pb2.AuthorizationError.RESOURCE_EXHAUSTED
