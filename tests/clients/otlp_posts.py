"""Posts telemetry as OTLP over HTTP: JSON and binary, plain and gzip, and something else to the same address."""

import gzip
import http.client
import os

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["HTTP_PORT"]))


def post(path, content_type, body, encoding=None):
    headers = {"Content-Type": content_type}
    if encoding:
        headers["Content-Encoding"] = encoding
    connection.request("POST", path, body=body, headers=headers)
    response = connection.getresponse()
    response.read()
    assert response.status == 200


json = b'{"resourceSpans":[]}'
for _ in range(10):
    for path in ("/v1/traces", "/v1/logs", "/v1/metrics", "/otlp/v1/traces"):
        post(path, "application/json", json)
        post(path, "application/json; charset=utf-8", gzip.compress(json), "gzip")
        post(path, "application/x-protobuf", b"")
        post(path, "application/x-protobuf", gzip.compress(b"\x0a\x00"), "gzip")
    post("/orders", "application/json", b"{}")
