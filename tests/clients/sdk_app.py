"""A Flask application that exports by itself: OpenTelemetry's SDK, set up in its own code, over HTTP.

ENDPOINT says where to, PORT where it listens. GET /flush exports what there is. COMPRESSION is `gzip` or `none`.
"""

import os

from flask import Flask
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
exporter = OTLPSpanExporter(
    endpoint=os.environ["ENDPOINT"] + "/v1/traces", compression=Compression(os.environ["COMPRESSION"])
)
provider.add_span_processor(BatchSpanProcessor(exporter))
trace.set_tracer_provider(provider)

app = Flask(__name__)
FlaskInstrumentor().instrument_app(app, excluded_urls="flush")


@app.get("/hello")
def hello():
    print("hello from the application", flush=True)
    return "hello"


@app.get("/flush")
def flush():
    return "flushed" if provider.force_flush() else ("not flushed", 500)


app.run(host="127.0.0.1", port=int(os.environ["PORT"]), threaded=True)
