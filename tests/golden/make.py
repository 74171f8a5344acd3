"""Record the responses of FastAPI itself: `python tests/golden/make.py`.

Needs fastapi==0.128.* and uvicorn; run on Python 3.11 or 3.12 (3.13 words some JSON errors anew).
Writes create.jsonl and query.jsonl next to itself, one JSON object a line: name, method, path,
headers, body_base64, status, expect, response_headers (Location without its origin) and,
unless empty or a 200 to a POST, response_json. `expect` is `exact`, or `refuse` (answer 400 or 422
instead) where FastAPI fails, takes NaN, Infinity or 1e400, or meets an id with a lone surrogate.
"""
import base64
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import uvicorn
from fastapi import FastAPI, Query, Response
from pydantic import BaseModel

ROUTE, SCORES = "/v2/{entity}/{project}/scores", "/v2/lab/demo/scores"
JSON, TEXT, HEADERS = "application/json", "text/plain", ("location",)
UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
IDS = ("prediction_id", "scorer", "evaluation_run_id")
app = FastAPI()  # Models only. Errors are in the order in which fields and parameters are declared.


class ScoreCreateBody(BaseModel):
    prediction_id: str
    scorer: str
    value: Any
    evaluation_run_id: str | None = None


@app.post(ROUTE)
async def create(body: ScoreCreateBody) -> dict[str, str]:
    return {"score_id": "any"}


@app.get(ROUTE)
async def find(evaluation_run_id: str | None = None, prediction_id: str | None = None,
               scorer: str | None = None, created_after: datetime | None = None,
               created_before: datetime | None = None,
               limit: Annotated[int | None, Query(ge=0)] = None,
               offset: Annotated[int | None, Query(ge=0)] = None,
               after: Annotated[str | None, Query(pattern=UUID)] = None) -> Response:
    return Response(media_type="application/jsonl")


@app.delete(ROUTE)
async def delete(score_ids: Annotated[list[str], Query(max_length=1000)]) -> dict[str, int]:
    return {"num_deleted": 0}


@app.post(ROUTE + "/batch")
async def batch(partial: bool = False) -> dict[str, str]:
    return {}


class Case(NamedTuple):
    name: str
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = (("content-type", JSON),)
    method: str = "POST"
    path: str = SCORES


def text(**changes: str | None) -> str:
    """Return a valid body as JSON text; `changes` are JSON texts of fields, or None to omit one."""
    good = {"prediction_id": '"pred-7"', "scorer": '"judge"', "value": "1"}
    fields = changes | {key: value for key, value in good.items() if key not in changes}
    return "{" + ", ".join(f'"{key}": {value}' for key, value in fields.items() if value) + "}"


# The cases. Most are words of one text, separated by blanks; those that contain a blank are added.
VALUES = r"""null "\u0000\u007f" "é漢😀" "\ud83d\ude00" "\ude00\ud83d" {"\udc00":1} [null,1,1.0,"1"]
    {"a.b":1,"$c":{"":""}} {"a":1,"a":2} -0 -0.0 5e-324 1e-400 1E+2 98765432.109876543""".split()
VALUES += ["9" * 4300, "-" + "9" * 4300, "9" * 4301, "0." + "3" * 4400]
NOT_JSON = r'NaN [1,-Infinity] 1e400 "\ud83dx" ["\udc00"]'.split()
WRONG = ["12", "-0.5", "[]", '{"id":"x"}', "1E2", "null", *NOT_JSON]
TYPES = """APPLICATION/JSON application/ld+json;profile=x json é/json / ;x=y application/json;;=;q
    application/json/v2 application application;json model/gltf+json application/é+json text/json
    application/json;charset="utf-16""".split() + ["", "application/ json", "\tapplication/json\t"]
SYNTAX = r"""] nul - +1 .5 'a' [1,] {"a":} -NaN Infinit // ＋1 { {1:2} {"a":1,} {'a':1} {"a"} {"a"=1}
    ["é""b"] {"a":1;"b":2} [1 {"a":0x1} [1.e2] [1_0] [1٣] {}} 01 1. 2e nullx "é😀"x {"a ["b\" {"a":"\
    ["x","😀 "\x41" ["é\'"] "\é" "😀\U0001f600" "\u12" "\u12g4" "\u "\u+123" "\ud83d\u" [NaN,Infinity
    {"value":NaN,"b":} {"scorer":"\ud800" """.split() + [" \t\r\n", "\ufeff1", "\v1", "[\xa01]"]
SYNTAX += ['"', "[]\0", "{}\r\n;", '{"é😀"\r\n"b"}', '"a\0"', '["é\r\n"]', '"\\\n"', '"\\u 123"']
CUT = r'{"value": {"é": [true, -1.5e+3, "\u00e9\ud83d😀"]}, "scorer": null, "b": NaN}'.encode()
BYTES = [b" \0", "é😀\u2028\\".encode(), b"\xef\xbb\xbf", b"\xef\xbb", b"\xff\xfe", b"\xfe\xff\0",
         b"1\0", b"\x001", b'"\xe9"', b'"\xc1\x81"', b'"\xed\xa0\x80"', b'"\xf5\x80"', b"NaN"]
PATHS = """/v2/lab//scores /v2///scores /v2/lab/scores $/x/y /v2/lab/demo/Scores $/ $// $/?a=1&b=%20
    /V2/lab/demo/scores /v3/lab/demo/scores /v2/lab/demo//scores $%2F $%20 $;v=1 $? $?%ff&a
    /v2/l%20b/%C3%A9/scores/ /v2/l%3Fb%2523/demo/scores/ /v2/lab%2Fdemo/scores /v2/lab/demo%2Fscores
    /v2/lab%2Fx/demo/scores /v2/lab/demo/%73cores /v2/%20/%00/scores /v2/x%0A/%F0%9F%98%80/scores
    /v2/%ff/%/scores /v2/../@;v=1:/scores /$""".replace("$", SCORES).split()
NUMBERS = """1 -1 0 -0 +1 %2B1 %2B%2B1 007 %201%20 1%0A %C2%A01 1_000 1__0 _1 1_ 1.0 1. 1.5 1e3
    0x10 %D9%A3 NaN 9223372036854775808""".split() + ["", "9" * 4300, "9" * 4301, "0" * 4999 + "1"]
DATES = """2024-02-29 2023-02-29 $T04:05:06Z $t04:05:06z $T04:05:06%2B09:00 $T04:05:06+09:00 $Z $%20
    $T04:05:06-0930 $T04:05:06%2B09 $T04:05:06%2B24:00 $%2004:05 $+04:05:06 %20$ $T $_04:05:06 $T04
    $T04:05:06.Z $T04:05:06.1 $T04:05:06,123 $T04:05:06.123456789Z $T04:60 $T24:00 $T04:05:60Z
    $T04:05:06.1234567891Z 2024-1-1 2024-13-01 0000-01-01 10000-01-01 20240203 1700000000.5
    1700000000123 999999999999999 1700000000 -1 1e9 NaN""".replace("$", "2024-02-03").split() + [""]
FLAGS = "1 0 true TRUE tRuE false yes NO on Off t F y n 2 -1 01 1.0 %20true true%20 null".split()
SEVERAL = """limit=x&offset=-1&created_before=y&created_after=&scorer= offset=x&limit=0 LIMIT=0
    limit limit=0&limit=5 limit=5&limit=x after=&after=%ff after= after=01A20901-1208-700a-886d-bd665d10c4ec after=01a20901-1208-700a-886d-bd665d10c4ec limit=1;offset=x li%6dit=0""".split()
REMOVALS = ["", "score_ids", "score_ids=", "score_ids=%00&score_ids=a,b", "score_ids[]=a",
            "&".join(["score_ids=s"] * 1000), "&".join(["score_ids=s"] * 1001)]


def create_cases() -> Iterator[Case]:
    bodies: list[str | bytes] = ["", "null", " null\n", "false", '""', "[]", f"[{text()}]", "{}"]
    bodies += SYNTAX + BYTES + [CUT[:end] for end in range(1, len(CUT), 4)] + [b"[" * 100_000]
    bodies += [text(value=value, scorer=scorer) for value in VALUES for scorer in ('"judge"', None)]
    bodies += [(mark + text(value='"é😀"') + end).encode(coding)
               for coding in ("utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-be")
               for mark, end in [("", ""), ("", "x"), ("\ufeff", "")]]
    bodies += [text(**{key: '"\ud83d\ude00"'}) for key in ("value", "scorer", "extra")]  # CESU-8.
    bodies += [text(**{key: value}) for key, value in
               [*product(IDS, WRONG), *product(("value", "extra"), NOT_JSON)]]
    bodies += [text(**dict(zip(IDS, wrong)), value=value) for value in (None, "NaN")
               for wrong in [("0", "[]", "{}"), (None, None, "0"), ("null", '"\\ud800"', "false")]]
    bodies += ['{"scorer": 1, ' + text()[1:], text()[:-1] + r', "sc\u006frer": null}',
               '{"value": NaN, ' + text()[1:], text()[:-1] + r', "\ud800": 1}',
               text(__class__="{}"), text(scorer=None, Scorer='"é"'), text(value=None)]
    for depth, (left, right) in product((50, 500, 900, 2000), (("[", "]"), ('{"":', "}"))):
        deep = left * depth + "1" + right * depth
        bodies += [deep, text(value=deep), text(scorer=deep)]
    for raw in [b if isinstance(b, bytes) else b.encode("utf-8", "surrogatepass") for b in bodies]:
        yield Case(f"body {raw[:50]!r}", raw)
    good = text().encode()
    for types in [[], *([value] for value in TYPES), [JSON, TEXT], [TEXT, JSON], ["", TEXT]]:
        yield Case(f"type {types}", good, [("content-type", value) for value in types])
    for raw in [b"", *BYTES]:
        yield Case(f"text {raw!r}", raw, [("Content-Type", TEXT)])
    for path in [*PATHS, f"/v2/{'e' * 2000}/demo/scores"]:
        yield Case(f"path {path[:60]}", good, path=path)
    for method, path in product(["PUT", "PATCH", "OPTIONS"], [SCORES, "/v2/lab"]):
        yield Case(f"{method} {path}", good if method[0] == "P" else b"", [], method, path)


def query_cases() -> Iterator[Case]:
    limits, dates = [f"limit={n}" for n in NUMBERS], [f"created_after={date}" for date in DATES]
    for method, queries in [("GET", ["", *limits, *dates, *SEVERAL]), ("DELETE", REMOVALS)]:
        for query in queries:
            yield Case(f"{method} {query[:60]}", b"", [], method, f"{SCORES}?{query}")
    scores = f'{{"scores": [{text()}]}}'.encode()
    for flag in ["", "=", "=x&partial=1", *(f"={word}" for word in FLAGS)]:
        yield Case(f"batch {flag}", scores, path=f"{SCORES}/batch?partial{flag}")


def refuses(body: bytes, status: int) -> bool:
    """Return whether FastAPI's response is one that a service must not copy."""
    words: list[str] = []  # The numbers that are not integers.
    try:
        sent = json.loads(body, parse_float=words.append, parse_constant=words.append)
    except (ValueError, RecursionError):
        return status == 500
    ids = "".join(str(sent.get(key)) for key in IDS) if isinstance(sent, dict) else ""
    odd = not all(abs(float(word)) < float("inf") for word in words)
    return status == 500 or (status == 200 and odd) or ids != ids.encode(errors="ignore").decode()


def ask(number: int, case: Case, port: int) -> dict[str, Any]:
    """Send one request, and return its golden row."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(case.method, case.path, skip_accept_encoding=True)
    for name, value in case.headers:
        connection.putheader(name, value)
    if case.body or case.method in ("POST", "PUT", "PATCH"):
        connection.putheader("content-length", str(len(case.body)))
    connection.endheaders(case.body or None)
    response = connection.getresponse()
    data, status = response.read(), response.status
    connection.close()
    row = case._asdict() | {"name": f"{number:03} {case.name}", "status": status}
    row["body_base64"] = base64.b64encode(row.pop("body")).decode()
    row["expect"] = "refuse" if refuses(case.body, status) else "exact"
    if data and status != 500 and (status, case.method) != (200, "POST"):
        row["response_json"] = json.loads(data)
    row["response_headers"] = [(name, value.replace(f"http://127.0.0.1:{port}", ""))
                               for name, value in response.getheaders() if name in HEADERS]
    return row


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http="h11", log_level="critical"))
    threading.Thread(target=server.run, args=([listener],), daemon=True).start()
    for name, cases in [("create.jsonl", create_cases()), ("query.jsonl", query_cases())]:
        rows = [ask(number, case, listener.getsockname()[1]) for number, case in enumerate(cases)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        Path(__file__).with_name(name).write_text(lines, encoding="ascii")
        print(f"{name}: {len(rows)} rows, {len(lines)} bytes")


if __name__ == "__main__":
    main()
