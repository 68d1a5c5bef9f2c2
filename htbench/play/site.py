"""The page and its requests: who may ask, how much, and which answers are stale."""

import asyncio
import sys
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from htbench.core import pictures
from htbench.core.display import printable
from htbench.core.errors import HtbenchError, UsageError
from htbench.play import files, page, pairs
from htbench.play.engine import Engine, Row, Stale
from htbench.play.fits import Fits
from htbench.play.view import FileRequest, FitRequest, PairRequest, PicturesRequest, read

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_JSON_BYTES, MAX_PICTURE_BYTES = 1 << 16, 1 << 24
BODY_SECONDS = 20.0
"""The longest wait for the body of a request."""
MAX_WAITING = 64
"""Most requests for pictures that wait at once."""
MAX_RECEIVED = 4
"""Most pictures that are received at once."""
_MAX_TABS = 1000
_LARGEST_PNG = 256
"""Side in pixels up to which pictures are sent without loss."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
Answer = Callable[[Request], Awaitable[Response]]


class Refusal(Exception):
    """A request that is not answered, with its status and one line."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class PlaySite:
    """The web application of one engine.

    Pictures are made in one thread. A tab's newest request makes its earlier ones stale: those are
    answered with status 409, and their remaining pictures are not made.

    Args:
        token: the part of every address that other programs and sites cannot guess.
        names: values of the header `Host` that are answered.
    """

    def __init__(self, engine: Engine, *, token: str, names: frozenset[str]) -> None:
        self.engine, self.names = engine, names
        self.fits = Fits(engine.fit, engine.has_fit)
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._waiting = self._received = 0
        self._thread = ThreadPoolExecutor(1, "pictures")
        routes = [
            Route(f"/{token}/", self._checked(self._page), methods=["GET"]),
            Route(f"/{token}/pictures", self._checked(self._pictures), methods=["POST"]),
            Route(f"/{token}/fit", self._checked(self._fit), methods=["POST"]),
            Route(f"/{token}/reference", self._checked(self._reference), methods=["POST"]),
            Route(f"/{token}/file", self._checked(self._file), methods=["POST"]),
            Route(f"/{token}/pair", self._checked(self._pair), methods=["POST"]),
        ]
        self.app = Starlette(routes=routes)

    def stop(self) -> None:
        """Begin nothing more."""
        self.fits.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _checked(self, answer: Answer) -> Answer:
        """`answer` for requests of the page itself, and one line for all others."""

        async def checked(request: Request) -> Response:
            try:
                self._check(request)
                response = await answer(request)
            except Refusal as refusal:
                response = PlainTextResponse(str(refusal), refusal.status)
                if refusal.status == 408:
                    response.headers["Connection"] = "close"
            except Stale:
                response = PlainTextResponse("a newer request has come", 409)
            except HtbenchError as error:
                status = 400 if isinstance(error, UsageError) else 500
                line = " ".join(filter(None, (str(error), error.remedy)))
                response = PlainTextResponse(printable(line)[:600], status)
            except ClientDisconnect:
                response = PlainTextResponse("", 400)
            except Exception as error:
                sys.stderr.write(f"htbench: a request failed: {printable(repr(error))[:300]}\n")
                response = PlainTextResponse("this failed; the terminal has more", 500)
            response.headers.update(_HEADERS)
            return response

        return checked

    def _check(self, request: Request) -> None:
        """Refuse pages of other sites, and other names of this machine."""
        if request.headers.get("host", "").lower() not in self.names:
            raise Refusal(403, "this server has another name")
        origin = request.headers.get("origin")
        if origin is not None and origin.removeprefix("http://").lower() not in self.names:
            raise Refusal(403, "only this page may ask")
        if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refusal(403, "only this page may ask")

    async def _page(self, request: Request) -> Response:
        text = page.render(self.engine)
        return Response(text, media_type="text/html")

    async def _pictures(self, request: Request) -> Response:
        asked = read(PicturesRequest, await self._json(request))
        if asked.number < self._newest.get(asked.tab, 0):
            raise Stale
        self._newest[asked.tab] = asked.number
        self._newest.move_to_end(asked.tab)
        while len(self._newest) > _MAX_TABS:
            self._newest.popitem(last=False)

        def is_stale() -> bool:
            return self._newest.get(asked.tab, 0) > asked.number

        def make() -> dict[str, Any]:
            if is_stale():
                raise Stale
            return {
                "number": asked.number,
                "rows": [_in_json(row) for row in self.engine.rows(asked.view, is_stale)],
            }

        return JSONResponse(await self._in_thread(make))

    async def _fit(self, request: Request) -> Response:
        asked = read(FitRequest, await self._json(request))
        fit = self.fits.ask(asked.method, asked.concept)
        return JSONResponse(
            {
                "state": fit.state,
                "seconds": fit.seconds,
                "expected": self.fits.expected_seconds(asked.method),
                "problem": fit.problem,
            }
        )

    async def _reference(self, request: Request) -> Response:
        if self._received >= MAX_RECEIVED:
            raise Refusal(503, "too many pictures come at once; try again")
        self._received += 1
        try:
            data = await self._body(request, "application/octet-stream", MAX_PICTURE_BYTES)
            name = await self._in_thread(lambda: self.engine.keep_reference(data))
        finally:
            self._received -= 1
        return JSONResponse({"picture": name})

    async def _file(self, request: Request) -> Response:
        asked = read(FileRequest, await self._json(request))
        data, kind = await self._in_thread(lambda: files.make(self.engine, asked))
        return Response(data, media_type=kind)

    async def _pair(self, request: Request) -> Response:
        asked = read(PairRequest, await self._json(request))
        pair = await self._in_thread(lambda: pairs.make(self.engine, asked))
        return Response(pair.model_dump_json(), media_type="application/json")

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        if self._waiting >= MAX_WAITING:
            raise Refusal(503, "too many requests wait; try again")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _contained, work)
        finally:
            self._waiting -= 1

    async def _json(self, request: Request) -> bytes:
        return await self._body(request, "application/json", MAX_JSON_BYTES)

    async def _body(self, request: Request, kind: str, most: int) -> bytes:
        """The body of a request, of a type that no form of another site can send."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != kind:
            raise Refusal(415, f"this takes {kind}")
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and len(length) < 16 and int(length) > most:
            raise Refusal(413, f"the body is longer than {most:,} bytes")
        data = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    data += part
                    if len(data) > most:
                        raise Refusal(413, f"the body is longer than {most:,} bytes")
        except TimeoutError:
            raise Refusal(408, "the body did not come whole") from None
        return bytes(data)


def _contained(work: Callable[[], Any]) -> Any:
    """The value of `work`, which may be anybody's method.

    StopIteration, which no future takes, SystemExit and the like become a RuntimeError.
    """
    try:
        return work()
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            raise
        raise RuntimeError(f"a method raised {error!r}") from error


def _in_json(row: Row) -> Mapping[str, Any]:
    return {
        "method": row.method,
        "pictures": [address(image) for image in row.images],
        "note": row.note,
        "needs_fit": row.needs_fit,
        "learning_seconds": row.learning_seconds,
        "image_seconds": row.image_seconds,
        "presence": [round(value, 4) for value in row.presence],
        "preservation": [round(value, 4) for value in row.preservation],
    }


def address(image: "Image") -> str:
    """The picture as a `data:` address: without loss if it is small."""
    if max(image.size) <= _LARGEST_PNG:
        kind, data = "png", pictures.encode_png(image)
    else:
        buffer = BytesIO()
        image.save(buffer, "WEBP", quality=90)
        kind, data = "webp", buffer.getvalue()
    return f"data:image/{kind};base64,{b64encode(data).decode()}"
