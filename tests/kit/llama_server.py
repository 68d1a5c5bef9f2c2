"""llama.cpp's own server on a loopback port, in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.tiny_gguf import CONTEXT

SLOTS = 2
"""Questions that the server answers at the same time."""
_SERVER = """
import sys, time, xllamacpp
model, vision_encoder, context, slots = sys.argv[1:]
parameters = xllamacpp.CommonParams()
parameters.model.path, parameters.mmproj.path = model, vision_encoder
parameters.n_ctx, parameters.n_parallel = int(context) * int(slots), int(slots)
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
parameters.warmup = parameters.ui = parameters.fit_params = False
parameters.hostnames, parameters.port = ["127.0.0.1"], 0
server = xllamacpp.Server(parameters)
print("address", server.listening_address, flush=True)
time.sleep(3600)
"""


@contextmanager
def serving_llama(model: Path, vision_encoder: Path | None = None) -> Iterator[str]:
    """The address of the server while it is up; without a vision encoder it takes no pictures."""
    words = [str(model), str(vision_encoder or ""), str(CONTEXT), str(SLOTS)]
    log = model.with_suffix(".log")
    with (
        log.open("w") as messages,
        subprocess.Popen(
            [sys.executable, "-c", _SERVER, *words],
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout
            first = process.stdout.readline().split()
            assert first[:1] == ["address"], log.read_text()[-2000:]
            yield f"{first[1]}/v1"
        finally:
            process.kill()
