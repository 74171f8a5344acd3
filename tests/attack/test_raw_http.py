"""Bytes that are almost HTTP get a JSON response, an error of gunicorn, or are disconnected."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.attack import wire
from tests.processes import ADMIN_KEY, Service

pytestmark = [
    pytest.mark.attack,
    # The store does not matter here.
    pytest.mark.parametrize("target", ["sqlite"], indirect=True),
]

SCORE = json.dumps({"prediction_id": "p", "scorer": "s", "value": {"é": [1, None]}}).encode()
PATH = b"/v2/acme/raw/scores"
AUTHORIZATION = b"Authorization: Bearer " + ADMIN_KEY.encode()

VALID = (
    b"POST %s HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Type: application/json\r\n"
    b"Idempotency-Key: k-1\r\nContent-Length: %d\r\n\r\n%s"
    % (PATH, AUTHORIZATION, len(SCORE), SCORE),
    b"POST %s/batch?partial=true HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Type: application/jsonl\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%s\r\n1\r\n\n\r\n0\r\nX-Sum: t\r\n\r\n"
    % (PATH, AUTHORIZATION, len(SCORE), SCORE),
    b"GET %s?limit=2&created_after=2026-01-01 HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n"
    % (PATH, AUTHORIZATION),
    b"DELETE %s?score_ids=a&score_ids=b HTTP/1.0\r\n%s\r\nConnection: keep-alive\r\n\r\n"
    % (PATH, AUTHORIZATION),
)


def mostly(usual: st.SearchStrategy[bytes], odd: st.SearchStrategy[bytes]) -> Any:
    """Draw mostly usual parts, because a request of only odd parts is rejected early."""
    return st.integers(0, 15).flatmap(lambda number: odd if number == 7 else usual)


junk = st.binary(max_size=40)
methods = mostly(
    st.sampled_from(b"POST GET DELETE".split()),
    st.sampled_from(b"OPTIONS TRACE post PRI".split()) | junk,
)
segments = st.sampled_from(
    [
        *b"v2 acme scores batch .. . %2f %00 % %zz %ff %e3%82".split(),
        *b"\xef\xac\x80 \xff a;b a?b a#b".split(),
        b"",
        b"x" * 9_000,
    ]
)
targets = st.one_of(
    st.sampled_from([PATH, PATH + b"/", PATH + b"?limit=1&limit=2", b"*", b"/", b"//x", b""]),
    st.sampled_from([b"http://other" + PATH, b"http://[", b"/openapi.json", b"/health/ready"]),
    st.tuples(segments, segments, segments).map(lambda parts: b"/v2/%s/%s/scores/%s" % parts),
    st.tuples(segments, segments).map(lambda parts: b"/v2/%s/%s/scores" % parts),
    st.lists(segments, max_size=8).map(lambda parts: b"/" + b"/".join(parts)),
    st.lists(segments, max_size=4).map(lambda parts: PATH + b"?limit=" + b"&after=".join(parts)),
    junk.map(lambda noise: PATH + noise),
)
versions = mostly(
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]),
    st.sampled_from([b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.10", b""]) | junk,
)
names = st.sampled_from(
    [
        *b"Content-Length Transfer-Encoding Content-Type Content-Encoding Expect Upgrade".split(),
        *b"Authorization Connection Host Idempotency-Key X-Weave-Retry-Id Trailer TE".split(),
        *b"X-Request-Id X-Stainless-Retry-Count X-Forwarded-Proto Content_Length \xe9".split(),
        b"Content-Length ",
        b" Folded",
        b"",
    ]
)
values = st.sampled_from(
    [
        *b"0 5 -1 +5 1_0 0x10 999999999999999999999999999999 \xb2 \0 chunked Chunked gzip".split(),
        *b"identity 100-continue close keep-alive h2c Bearer application/json text/plain".split(),
        *b'application/jsonl application/json;charset=utf-16 multipart/form-data a/b;c="'.split(),
        *[b"5, 5", b"chunked, identity", b"gzip, chunked", b"\x0bchunked", b"", b" ", b"\t"],
        *[b"Basic Og==", b"Basic \xff", b"x\rInjected: y", b"x\nInjected: y", b"v" * 9_000],
    ]
)
ends = mostly(st.just(b"\r\n"), st.sampled_from([b"\n", b"\r", b"\r\r\n"]))
colons = mostly(st.just(b": "), st.sampled_from([b":", b" : ", b""]))
headers = st.tuples(names, colons, mostly(values, junk), ends)
sizes = st.sampled_from(
    [b"0", b"5", b"05", b"-5", b"+5", b"5 ", b" 5", b"0x5", b"F" * 17, b"5;x", b"5\n", b"g", b""]
)
chunks = st.tuples(sizes, ends, st.sampled_from([b"hello", b"hel", SCORE, b""]) | junk, ends)
bodies = st.one_of(
    st.just(SCORE),
    st.sampled_from([b"[" * 1_000, b'{"value":' * 1_000, b'{"value":NaN}', b"9" * 5_000, b'"\xff']),
    st.binary(max_size=200),
    st.lists(chunks.map(b"".join), max_size=4).map(b"".join),
)


@st.composite
def requests(draw: Callable[[st.SearchStrategy[Any]], Any]) -> bytes:
    """Draw a request of odd parts, mostly with the key and often with the right length."""
    first = b" ".join([draw(methods), draw(targets), draw(versions)])
    lines = [first + draw(ends)]
    lines += [AUTHORIZATION + b"\r\n"] * draw(st.integers(0, 5).map(bool))
    lines += [b"".join(header) for header in draw(st.lists(headers, max_size=2))]
    body: bytes = draw(bodies)
    lines += [b"Content-Length: %d\r\n" % len(body)] * draw(st.booleans())
    return b"".join([*lines, draw(ends), body])


@st.composite
def mutations(draw: Callable[[st.SearchStrategy[Any]], Any]) -> bytes:
    """Draw a valid request with parts removed, repeated, overwritten or inserted."""
    request: bytes = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(request)))
        end = draw(st.integers(start, min(len(request), start + 30)))
        part: bytes = draw(st.sampled_from([b"", request[start:end] * 2]) | junk)
        request = request[:start] + part + request[end:]
    return request


CASES = int(os.environ.get("SCORELINE_TEST_CASES", "200"))


def cases(strategy: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test with SCORELINE_TEST_CASES cases of `strategy`, the same for the same seed."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        fixed = seed(int(os.environ.get("SCORELINE_TEST_SEED", "1")))
        once = settings(
            max_examples=CASES,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture],
        )
        return fixed(once(given(data=strategy)(test)))

    return decorate


@cases(st.binary(max_size=400) | st.lists(st.binary(max_size=30), max_size=9).map(b"\r\n".join))
def test_noise_gets_a_response_or_is_disconnected(target: Service, data: bytes) -> None:
    wire.check(wire.exchange(target, data))


@cases(requests())
def test_odd_requests_get_a_response_or_are_disconnected(target: Service, data: bytes) -> None:
    wire.check(wire.exchange(target, data))


@cases(mutations())
def test_damaged_requests_get_a_response_or_are_disconnected(target: Service, data: bytes) -> None:
    wire.check(wire.exchange(target, data))


@cases(st.lists(requests() | mutations() | st.sampled_from(VALID), min_size=2, max_size=4))
def test_pipelined_odd_requests_get_a_response_or_are_disconnected(
    target: Service, data: list[bytes]
) -> None:
    wire.check(wire.exchange(target, b"".join(data)))


def test_the_requests_to_damage_are_valid(target: Service) -> None:
    for request in VALID:
        assert wire.check(wire.exchange(target, request)) == [200]
