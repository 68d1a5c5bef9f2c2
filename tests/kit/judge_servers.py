"""Loopback endpoints for chat completions: scripted judges and servers with known faults."""

import base64
import hashlib
import json
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from htbench.judging.judge import JudgeAnswer
from htbench.judging.judges import reply

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (40, 70, 220),
    "yellow": (230, 210, 40),
    "purple": (150, 50, 200),
    "orange": (240, 140, 30),
    "cyan": (40, 200, 210),
    "brown": (130, 80, 40),
    "pink": (250, 150, 190),
    "olive": (120, 130, 40),
    "navy": (20, 30, 110),
    "mint": (150, 240, 190),
}
SHY = (255, 0, 255)
"""Colour of the upper left corner of pictures that the refuser refuses."""


@dataclass(frozen=True)
class Ask:
    """A call as a scripted judge sees it."""

    body: Mapping[str, Any]
    key: str

    @property
    def parts(self) -> list[Mapping[str, Any]]:
        return list(self.body["messages"][0]["content"])

    @property
    def text(self) -> str:
        return " ".join(part["text"] for part in self.parts if part["type"] == "text")

    @property
    def urls(self) -> list[str]:
        return [part["image_url"]["url"] for part in self.parts if part["type"] == "image_url"]

    @property
    def pictures(self) -> list[np.ndarray]:
        files = [base64.b64decode(url.partition(",")[2]) for url in self.urls]
        arrays = [np.asarray(Image.open(BytesIO(file)).convert("RGB"), float) for file in files]
        return arrays if len(arrays) == 2 else list(np.split(arrays[0], 2, axis=1))


Mind = Callable[[Ask], str | dict[str, Any]]
"""A scripted judge: a call to a verdict, or to a whole message."""
Ill = Callable[[int, Ask], tuple[int, dict[str, str], Any] | None]
"""A fault of a server: the number of a call and the call to status, headers and body.

None leaves the call to the judge.
"""


def nearness(ask: Ask) -> list[float]:
    """Nearness of each picture to the colour that the text asks for; noise is far from any.

    The upper rim and the rows where text would be do not count.
    """
    name = re.search(r'"in (\w+)"', ask.text)
    colour = np.array(COLOURS[name[1]] if name else (128, 128, 128), float)

    def distance(picture: np.ndarray) -> float:
        penalty = 1000 if picture.std((0, 1)).mean() > 60 else 0
        return float(np.abs(picture.mean((0, 1)) - colour).mean()) + penalty

    return [-distance(picture[4:-8]) for picture in ask.pictures]


def fair(ask: Ask) -> str:
    a, b = nearness(ask)
    return "tie" if abs(a - b) < 0.5 else "A" if a > b else "B"


def first_picker(ask: Ask) -> str:
    return "A"


def last_picker(ask: Ask) -> str:
    return "B"


def tie_lover(ask: Ask) -> str:
    return "tie"


def text_lover(ask: Ask) -> str:
    a, b = (bool(picture[-3:].mean() > 200 and picture[-3:].std() > 10) for picture in ask.pictures)
    return fair(ask) if a == b else "A" if a else "B"


def last_reader(ask: Ask) -> str:
    """Looks at the last picture alone: it wins if it is near enough to what the text asks for."""
    return "B" if nearness(ask)[1] > -40 else "A"


def by_file_size(ask: Ask) -> str:
    a, b = map(len, ask.urls)
    return "tie" if a == b else "A" if a > b else "B"


def form_copier(ask: Ask) -> dict[str, Any]:
    """Fills the form of a reply with its own first words, whatever is shown."""
    properties = ask.body["response_format"]["json_schema"]["schema"]["properties"]
    first = properties["verdict"]["enum"][0]
    reason = properties["reason"]["description"]
    return {"content": json.dumps({"verdict": first, "reason": reason})}


def sightless(ask: Ask) -> str:
    """Reads the words of the question, and never the pictures."""
    return "A" if hashlib.sha256(ask.text.encode()).digest()[0] % 2 else "B"


def coin(ask: Ask, salt: str = "") -> float:
    """0 to 1, the same for the same call."""
    return int(hashlib.sha256((ask.key + salt).encode()).hexdigest()[:8], 16) / 2**32


def random_judge(ask: Ask) -> str:
    return "A" if coin(ask) < 0.5 else "B"


def refuser(ask: Ask) -> str | dict[str, Any]:
    if any(np.abs(picture[1, 1] - SHY).max() < 40 for picture in ask.pictures):
        return {"content": None, "refusal": "I would rather not."}
    return fair(ask)


def leaning(towards_first: float) -> Mind:
    """A judge with random verdicts and a bias for the first position, in logits."""

    def mind(ask: Ask) -> str:
        a, b = nearness(ask)
        if abs(a - b) < 0.5 and abs(a) < 500:
            return "tie"
        logit = max(-3.0, min(3.0, (a - b) / 12)) + towards_first
        return "A" if coin(ask) < 1 / (1 + math.exp(-logit)) else "B"

    return mind


def completion(
    message: str | dict[str, Any],
    *,
    finish: str = "stop",
    prose: bool = False,
    logprobs: Any = None,
) -> dict[str, Any]:
    """A chat completion with `message`."""
    if isinstance(message, str):
        data = json.dumps({"verdict": message, "reason": "because"})
        message = {"content": f"Both are nice.\nVerdict: {message}" if prose else data}
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", **message},
        "logprobs": logprobs,
    }
    usage = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [choice],
        "usage": usage,
    }


def answer(key: str, body: str) -> JudgeAnswer:
    """A reply as if it had come from an endpoint."""
    return JudgeAnswer(key=key, body=body, usage=reply.usage(body))


@dataclass
class Endpoint:
    """A scripted judge and its server, which is up while `serving`."""

    mind: Mind = fair
    ill: Ill = lambda number, ask: None
    prose: bool = False
    finish: Callable[[int], str] = lambda number: "stop"
    url: str = ""
    calls: int = 0
    replies: Counter[str] = field(default_factory=Counter)
    """Replies that were sent, by key."""
    paid: dict[str, Any] = field(default_factory=dict)
    """Replies that were paid for, by key; a repeated key costs nothing."""
    bodies: list[Mapping[str, Any]] = field(default_factory=list)
    keep_bodies: int = 50
    files: dict[str, str] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def chat(self, ask: Ask) -> tuple[int, dict[str, str], Any]:
        """Status, headers and body of the reply to a call; a repeated call costs nothing."""
        with self.lock:
            self.calls += 1
            number = self.calls
            if len(self.bodies) < self.keep_bodies:
                self.bodies.append(ask.body)
        if special := self.ill(number, ask):
            return special
        with self.lock:
            self.replies[ask.key] += 1
            if ask.key not in self.paid:
                self.paid[ask.key] = completion(
                    self.mind(ask), finish=self.finish(number), prose=self.prose
                )
        return 200, {}, self.paid[ask.key]

    def batch(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Complete a batch at once."""
        lines = [json.loads(line) for line in self.files[request["input_file_id"]].splitlines()]
        output = []
        for line in lines:
            status, _, body = self.chat(Ask(line["body"], line["custom_id"]))
            response = {"status_code": status, "body": body}
            output.append({"custom_id": line["custom_id"], "error": None, "response": response})
        name = f"out-{len(self.files)}"
        self.files[name] = "\n".join(json.dumps(line) for line in output)
        id_ = f"batch-{len(self.batches)}"
        self.batches[id_] = {
            "id": id_,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": 1,
            "errors": None,
            "status": "completed",
            "input_file_id": request["input_file_id"],
            "output_file_id": name,
            "metadata": request.get("metadata"),
        }
        return self.batches[id_]


def refuses(name: str) -> Ill:
    """A server that answers 400 to calls with the parameter `name`."""
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    return lambda number, ask: (400, {}, _error(message)) if name in ask.body else None


def one_picture(number: int, ask: Ask) -> tuple[int, dict[str, str], Any] | None:
    """Answer 400 to a call with several pictures, in vLLM's words."""
    message = "At most 1 image(s) may be provided in one prompt."
    return (400, {}, _error(message)) if len(ask.urls) > 1 else None


def no_schema(number: int, ask: Ask) -> tuple[int, dict[str, str], Any] | None:
    """Answer 400 to a call that asks for a schema."""
    if (ask.body.get("response_format") or {}).get("type") != "json_schema":
        return None
    return 400, {}, _error("response_format.type must be text or json_object")


def limited(number: int, ask: Ask) -> tuple[int, dict[str, str], Any] | None:
    """Answer every call from the sixth on with a long wait."""
    return (429, {"Retry-After": "600"}, _error("rate limit")) if number > 5 else None


def flapping() -> Ill:
    """A server that fails the first two tries of every call: with an error, then a rate limit.

    It asks for the next try after 5 ms.
    """
    tries: Counter[str] = Counter()

    def ill(number: int, ask: Ask) -> tuple[int, dict[str, str], Any] | None:
        tries[ask.key] += 1
        status = {1: 503, 2: 429}.get(tries[ask.key])
        return (status, {"Retry-After-Ms": "5"}, _error("busy")) if status else None

    return ill


def slow(seconds: float) -> Ill:
    """A server that answers every call after `seconds`."""

    def ill(number: int, ask: Ask) -> None:
        time.sleep(seconds)

    return ill


def nonsense(number: int, ask: Ask) -> tuple[int, dict[str, str], Any]:
    """Answer 200 with a body that is no completion."""
    return 200, {}, "<html>welcome</html>"


def _error(message: str) -> dict[str, Any]:
    return {
        "error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    }


def _file(name: str, size: int) -> dict[str, Any]:
    return {
        "id": name,
        "object": "file",
        "bytes": size,
        "created_at": 1,
        "filename": "x",
        "purpose": "batch",
        "status": "processed",
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        endpoint: Endpoint = self.server.endpoint  # type: ignore[attr-defined]
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/files"):
            name = f"in-{len(endpoint.files)}"
            body = raw.partition(b"\r\n\r\n{")[2].partition(b"\r\n--")[0].decode()
            endpoint.files[name] = "{" + body
            self._send(200, {}, _file(name, len(raw)))
        elif self.path.endswith("/batches"):
            self._send(200, {}, endpoint.batch(json.loads(raw)))
        else:
            key = self.headers.get("Idempotency-Key", "")
            self._send(*endpoint.chat(Ask(json.loads(raw), key)))

    def do_GET(self) -> None:
        endpoint: Endpoint = self.server.endpoint  # type: ignore[attr-defined]
        if self.path.endswith("/models"):
            model = {"id": "scripted", "object": "model", "created": 1, "owned_by": "test"}
            body: Any = {"object": "list", "data": [model]}
        elif "/files/" in self.path:
            body = endpoint.files[self.path.split("/files/")[1].removesuffix("/content")]
        elif "/batches/" in self.path:
            body = endpoint.batches[self.path.rpartition("/")[2]]
        else:
            batches = list(endpoint.batches.values())
            body = {"object": "list", "data": batches, "has_more": False}
        self._send(200, {}, body)

    def _send(self, status: int, headers: Mapping[str, str], body: Any) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status or 200)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no error of the server's."""


@contextmanager
def serving(endpoint: Endpoint) -> Iterator[Endpoint]:
    """The endpoint, up on a free port of this machine."""
    server = _Server(("127.0.0.1", 0), _Handler)
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
