"""A model hub on this machine, which speaks the protocol of huggingface_hub and has known faults.

Repositories, commits of JSON lines, large files by Git LFS at an address of their own, pages of
listings, and downloads with ranges. Nothing is kept on the disk.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from kit.hub_repos import Repo, Stored

TOKEN, READER, STRANGER = "hf_ownerOfTheTests", "hf_readerOfTheTests", "hf_strangerOfTheTests"
USERS = {TOKEN: "ann", READER: "ann", STRANGER: "bob"}
_SIGNED = "signed=0123"
_PAGE = 2
"""Number of files in a page of a listing."""
_CHUNK = 1 << 20
"""The most bytes of a part of an upload."""


@dataclass(frozen=True)
class Asked:
    """A request as the server got it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at_storage: bool
    """True if it came to the address where large files are."""

    @property
    def is_download(self) -> bool:
        return self.method == "GET" and ("/resolve/" in self.path or self.at_storage)


@dataclass
class Reply:
    """An answer; `breaks_after` ends the connection after so many bytes of the body."""

    status: int
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    breaks_after: int | None = None


Fault = Callable[[Asked], Reply | None]
"""A fault of the server: a request to an answer, or None for the right one."""


@dataclass
class Hub:
    """The state of the hub, and its servers, which are up while `serving`."""

    fault: Fault = lambda asked: None
    url: str = ""
    storage_url: str = ""
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add(
        self, kind: str, id_: str, files: Mapping[str, bytes], *, private: bool = False
    ) -> Repo:
        """A repository with files, of which those with a NUL byte are large."""
        repo = self.repos.setdefault((kind, id_), Repo(private=private))
        stored = {name: Stored(data, b"\0" in data) for name, data in files.items()}
        self.objects |= {file.sha256: file.data for file in stored.values() if file.is_large}
        repo.commit({".gitattributes": Stored(b"*.zip lfs\n", False), **stored}, "by hand")
        return repo

    def sent(self) -> list[str]:
        """Digests of the large files that were uploaded, one per upload."""
        uploads = [asked for asked in self.asked if asked.method == "PUT"]
        return [urlsplit(asked.path).path.split("/")[2] for asked in uploads]

    def answer(self, asked: Asked) -> Reply:
        with self.lock:
            self.asked.append(asked)
            if special := self.fault(asked):
                return special
            if asked.at_storage:
                return self._storage(asked)
            for method, pattern, function in _ROUTES:
                match = re.fullmatch(pattern, urlsplit(asked.path).path)
                if match and asked.method in method.split("|"):
                    return function(self, asked, **match.groupdict())
        return Reply(404, {"error": f"no such path {asked.path}"})

    def _repo(self, asked: Asked, kind: str, id_: str) -> Repo | Reply:
        """The repository, as far as who asks may know of it."""
        user = _user(asked)
        if user is None and "authorization" in asked.headers:
            return Reply(401, {"error": "Invalid username or password."})
        repo = self.repos.get((kind, id_))
        if repo and (not repo.private or user == id_.split("/", maxsplit=1)[0]):
            return repo
        status = 401 if user is None else 404
        return Reply(status, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})

    def _writable(self, asked: Asked, kind: str, id_: str) -> Repo | Reply:
        repo = self._repo(asked, kind, id_)
        if isinstance(repo, Reply):
            return repo
        return repo if _may_write(asked, id_.split("/", maxsplit=1)[0]) else _forbidden(id_)

    def create(self, asked: Asked) -> Reply:
        wish = json.loads(asked.body)
        kind, id_ = f"{wish.get('type', 'model')}s", f"{wish['organization']}/{wish['name']}"
        if _user(asked) is None:
            return Reply(401, {"error": "Invalid username or password."})
        if not _may_write(asked, wish["organization"]):
            return _forbidden(wish["organization"])
        url = f"{self.url}/{'' if kind == 'models' else f'{kind}/'}{id_}"
        if (kind, id_) in self.repos:
            return Reply(409, {"error": "You already created this repo", "url": url})
        is_private = wish.get("private", wish.get("visibility") != "public")
        self.add(kind, id_, {}, private=bool(is_private))
        return Reply(200, {"url": url, "name": id_, "id": "0123456789abcdef"})

    def validate(self, asked: Asked) -> Reply:
        """Parse the header of a page, as the hub does before a commit."""
        text = json.loads(asked.body)["content"]
        match = re.match(r"---\n(.*?)\n---\n", text, flags=re.DOTALL)
        try:
            header = yaml.safe_load(match[1]) if match else {}
        except yaml.YAMLError as error:
            return Reply(400, {"errors": [{"message": str(error)}], "warnings": []})
        errors = []
        if not isinstance(header.get("license"), str):
            errors.append({"message": '"license" must be a string'})
        return Reply(400 if errors else 200, {"errors": errors, "warnings": []})

    def info(self, asked: Asked, kind: str, id_: str, revision: str = "main") -> Reply:
        repo = self._repo(asked, kind, id_)
        if isinstance(repo, Reply):
            return repo
        sha = repo.find(unquote(revision))
        if sha is None:
            return _no_revision(revision)
        names = [{"rfilename": name} for name in repo.commits[sha]]
        facts = {"id": id_, "sha": sha, "private": repo.private, "siblings": names}
        return Reply(200, {**facts, "tags": [], "downloads": 0, "likes": 0})

    def tree(self, asked: Asked, kind: str, id_: str, revision: str) -> Reply:
        repo = self._repo(asked, kind, id_)
        if isinstance(repo, Reply):
            return repo
        sha = repo.find(unquote(revision))
        if sha is None:
            return _no_revision(revision)
        rows = [_row(name, file) for name, file in sorted(repo.commits[sha].items())]
        start = int(parse_qs(urlsplit(asked.path).query).get("cursor", ["0"])[0])
        page, headers = rows[start : start + _PAGE], {}
        if start + _PAGE < len(rows):
            path = urlsplit(asked.path).path
            headers["Link"] = f'<{self.url}{path}?cursor={start + _PAGE}>; rel="next"'
        return Reply(200, page, headers)

    def preupload(self, asked: Asked, kind: str, id_: str, revision: str) -> Reply:
        repo = self._writable(asked, kind, id_)
        if isinstance(repo, Reply):
            return repo
        files = []
        for wish in json.loads(asked.body)["files"]:
            is_large = b"\0" in base64.b64decode(wish["sample"]) or wish["size"] > 10_000_000
            there = repo.files.get(wish["path"])
            files.append(
                {
                    "path": wish["path"],
                    "uploadMode": "lfs" if is_large else "regular",
                    "shouldIgnore": False,
                    "oid": there.etag if there else None,
                }
            )
        return Reply(200, {"files": files})

    def batch(self, asked: Asked, kind: str, id_: str) -> Reply:
        kind = kind.strip("/") or "models"
        repo = self._writable(asked, kind, id_)
        if isinstance(repo, Reply):
            return repo
        objects = []
        for wish in json.loads(asked.body)["objects"]:
            oid, size = wish["oid"], wish["size"]
            answer: dict[str, Any] = {"oid": oid, "size": size}
            if oid not in self.objects:
                href, header = f"{self.storage_url}/lfs/{oid}?{_SIGNED}", {}
                if size > _CHUNK:
                    numbers = range(1, -(-size // _CHUNK) + 1)
                    header = {str(n): f"{self.storage_url}/lfs/{oid}/{n}" for n in numbers}
                    header["chunk_size"] = str(_CHUNK)
                    href = f"{self.url}/lfs-complete/{oid}"
                verify = {"href": f"{self.url}/lfs-verify"}
                answer["actions"] = {"upload": {"href": href, "header": header}, "verify": verify}
            objects.append(answer)
        return Reply(200, {"transfer": "basic", "objects": objects})

    def verify(self, asked: Asked) -> Reply:
        wish = json.loads(asked.body)
        there = len(self.objects.get(wish["oid"], b"")) == wish["size"]
        return Reply(200 if there else 404, {})

    def complete(self, asked: Asked, oid: str) -> Reply:
        numbers = [part["partNumber"] for part in json.loads(asked.body)["parts"]]
        return self._keep(oid, b"".join(self.parts.pop((oid, number)) for number in numbers))

    def commit(self, asked: Asked, kind: str, id_: str, revision: str) -> Reply:
        repo = self._writable(asked, kind, id_)
        if isinstance(repo, Reply):
            return repo
        header, *operations = map(json.loads, asked.body.splitlines())
        if header["value"].get("parentCommit") not in (None, repo.branches["main"]):
            return Reply(
                412, {"error": "A commit has happened since. Please refresh and try again."}
            )
        files = dict(repo.files)
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = Stored(base64.b64decode(value["content"]), False)
            elif operation["key"] == "lfsFile" and value["oid"] in self.objects:
                files[value["path"]] = Stored(self.objects[value["oid"]], True)
            else:
                return Reply(400, {"error": f"cannot do {operation['key']} of {value}"})
        sha = repo.commit(files, header["value"]["summary"])
        url = f"{self.url}/{id_}/commit/{sha}"
        return Reply(200, {"success": True, "commitOid": sha, "commitUrl": url})

    def resolve(self, asked: Asked, kind: str, id_: str, revision: str, path: str) -> Reply:
        repo = self._repo(asked, kind.strip("/") or "models", id_)
        if isinstance(repo, Reply):
            return repo
        sha = repo.find(unquote(revision))
        if sha is None:
            return _no_revision(revision)
        file = repo.commits[sha].get(unquote(path))
        if file is None:
            return Reply(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        headers = {"X-Repo-Commit": sha, "ETag": f'"{file.oid}"', "Accept-Ranges": "bytes"}
        if not file.is_large:
            return _ranged(asked, file.data, headers)
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.data))}
        location = f"{self.storage_url}/lfs/{file.sha256}?{_SIGNED}"
        return Reply(302, b"", {**headers, "Location": location})

    def _storage(self, asked: Asked) -> Reply:
        """Large files at their own address, where a signature stands for a token."""
        _, folder, oid, *number = urlsplit(asked.path).path.split("/")
        if folder != "lfs" or "authorization" in asked.headers:
            return Reply(400, {"error": "a token was sent to the storage"})
        if asked.method == "PUT" and number:
            self.parts[oid, int(number[0])] = asked.body
            return Reply(200, b"", {"ETag": f'"{hashlib.md5(asked.body).hexdigest()}"'})
        if asked.method == "PUT":
            return self._keep(oid, asked.body)
        data = self.objects.get(oid)
        return Reply(404) if data is None else _ranged(asked, data, {"ETag": f'"{oid}"'})

    def _keep(self, oid: str, data: bytes) -> Reply:
        if hashlib.sha256(data).hexdigest() != oid:
            return Reply(400, {"error": "the digest is another"})
        self.objects[oid] = data
        return Reply(200, {})


_ID = r"(?P<id_>[\w.-]+/[\w.-]+)"
_API = rf"/api/(?P<kind>models|datasets)/{_ID}"
_ROUTES: tuple[tuple[str, str, Callable[..., Reply]], ...] = (
    ("POST", r"/api/repos/create", Hub.create),
    ("POST", r"/api/validate-yaml", Hub.validate),
    ("GET", _API, Hub.info),
    ("GET", rf"{_API}/revision/(?P<revision>[^/]+)", Hub.info),
    ("GET", rf"{_API}/tree/(?P<revision>[^/]+)", Hub.tree),
    ("POST", rf"{_API}/preupload/(?P<revision>[^/]+)", Hub.preupload),
    ("POST", rf"{_API}/commit/(?P<revision>[^/]+)", Hub.commit),
    ("POST", rf"/(?P<kind>datasets/|){_ID}\.git/info/lfs/objects/batch", Hub.batch),
    ("POST", r"/lfs-verify", Hub.verify),
    ("POST", r"/lfs-complete/(?P<oid>\w+)", Hub.complete),
    (
        "GET|HEAD",
        rf"/(?P<kind>datasets/|){_ID}/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
        Hub.resolve,
    ),
)


def failing(status: int, where: str, *, times: int = 10**6, **headers: str) -> Fault:
    """A server that answers the first requests to paths with `where` in them with a status."""
    count = 0

    def fault(asked: Asked) -> Reply | None:
        nonlocal count
        if where not in asked.path:
            return None
        count += 1
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return (
            Reply(status, {"error": f"told to answer {status}"}, names) if count <= times else None
        )

    return fault


def breaking(hub: Hub, after: int, *, times: int = 10**6) -> Fault:
    """A server whose storage breaks off each of the first downloads after some bytes."""
    count = 0

    def fault(asked: Asked) -> Reply | None:
        nonlocal count
        if not (asked.at_storage and asked.method == "GET"):
            return None
        count += 1
        if count > times:
            return None
        reply = hub._storage(asked)
        reply.breaks_after = after
        return reply

    return fault


def _user(asked: Asked) -> str | None:
    return USERS.get(asked.headers.get("authorization", "").removeprefix("Bearer "))


def _may_write(asked: Asked, owner: str) -> bool:
    return _user(asked) == owner and READER not in asked.headers["authorization"]


def _forbidden(what: str) -> Reply:
    message = f"You don't have the rights to write to {what}"
    return Reply(403, {"error": message}, {"X-Error-Message": message})


def _no_revision(revision: str) -> Reply:
    error = {"error": f"Invalid rev id: {revision}"}
    return Reply(404, error, {"X-Error-Code": "RevisionNotFound"})


def _row(name: str, file: Stored) -> dict[str, Any]:
    row: dict[str, Any] = {"type": "file", "oid": file.oid, "size": len(file.data), "path": name}
    if file.is_large:
        row["lfs"] = {
            "oid": file.sha256,
            "size": len(file.data),
            "pointerSize": len(file.pointer),
        }
    return row


def _ranged(asked: Asked, data: bytes, headers: dict[str, str]) -> Reply:
    match = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("range", ""))
    start = int(match[1]) if match else 0
    if not start:
        return Reply(200, data, headers)
    if start >= len(data):
        return Reply(416, b"", {"Content-Range": f"bytes */{len(data)}"})
    content_range = f"bytes {start}-{len(data) - 1}/{len(data)}"
    return Reply(206, data[start:], {**headers, "Content-Range": content_range})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _any(self) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        asked = Asked(
            method=self.command,
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self._body(),
            at_storage=self.server.is_storage,  # type: ignore[attr-defined]
        )
        reply = hub.answer(asked)
        data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        if not isinstance(reply.body, bytes):
            self.send_header("Content-Type", "application/json")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: reply.breaks_after])
        if reply.breaks_after is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = _any  # noqa: N815 - names of http.server

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A connection that was broken off is no error of the server's."""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub and the storage of its large files, up on free ports of this machine."""
    servers = []
    for is_storage in (False, True):
        server = _Server(("127.0.0.1", 0), _Handler)
        server.hub, server.is_storage = hub, is_storage  # type: ignore[attr-defined]
        arguments = {"poll_interval": 0.05}
        threading.Thread(target=server.serve_forever, kwargs=arguments, daemon=True).start()
        servers.append(server)
    hub.url, hub.storage_url = (f"http://127.0.0.1:{each.server_port}" for each in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
