"""A loopback endpoint for images, which paints a prompt in one colour and two halves."""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

Body = Mapping[str, Any]
Reply = tuple[int, dict[str, str], Any]
Fault = Callable[[int, Body], Reply | None]
"""The number of a request and its body to status, headers and body; None for a picture."""


@dataclass
class ImageEndpoint:
    """An endpoint and its server, which is up while `serving`."""

    fault: Fault = lambda number, body: None
    url: str = ""
    bodies: list[Body] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: Body, key: str) -> Reply:
        with self.lock:
            self.bodies.append(body)
            self.keys.append(key)
            number = len(self.bodies)
        usage = {"input_tokens": 12, "output_tokens": 34, "total_tokens": 46}
        picture = {"created": 1, "data": [{"b64_json": painted(body)}], "usage": usage}
        return self.fault(number, body) or (200, {}, picture)


def painted(body: Body) -> str:
    """A picture of the prompt and the seed, as base 64."""
    colours = sha256(json.dumps([body["prompt"], body.get("seed", 0)]).encode()).digest()
    image = Image.new("RGB", (32, 32), tuple(colours[:3]))
    image.paste(tuple(colours[3:6]), (0, 0, 16, 32))
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def refused(status: int, message: str, **headers: str) -> Reply:
    return status, headers, {"error": {"message": message, "type": "x", "code": None}}


def write_card(folder: Path, endpoint: ImageEndpoint, **changes: object) -> Path:
    """A card of the endpoint for two concepts and one prompt; returns its path."""
    lines = {
        "name": "hosted",
        "kind": "images-api",
        "model": "painter",
        "seed_parameter": "seed",
        **changes,
    }
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
    path = folder / "hosted.toml"
    path.write_text(
        f"""{text}
[parameters]
size = "32x32"

[pictures]
concept_set = "emoji"
concepts = "companion/fireworks,companion/blueberries"
prompts = 1
seeds = 2

[endpoint]
url = "{endpoint.url}"
url_variable = "TEST_IMAGES_URL"
key_variable = "TEST_IMAGES_KEY"
needs_key = false
retries = 2
timeout = 5
"""
    )
    return path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        endpoint: ImageEndpoint = self.server.endpoint  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_right = self.path.endswith("/images/generations")
        status, headers, answer = (
            endpoint.reply(body, self.headers.get("Idempotency-Key", ""))
            if is_right
            else refused(404, "no such path")
        )
        data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(endpoint: ImageEndpoint) -> Iterator[ImageEndpoint]:
    """The endpoint, up on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.endpoint = endpoint  # type: ignore[attr-defined]
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
