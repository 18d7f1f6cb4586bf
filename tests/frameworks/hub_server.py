"""A small Hugging Face Hub on this machine: the paths that huggingface_hub calls, and no more."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


def is_lfs(path):
    return path.endswith((".safetensors", ".bin"))


def git_id(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def digest(path, content):
    return hashlib.sha256(content).hexdigest() if is_lfs(path) else git_id(content)


@dataclass
class Repo:
    commits: dict = field(default_factory=dict)  # commit -> {path: content}
    refs: dict = field(default_factory=dict)  # branch or tag -> commit
    private: bool = False
    gated: bool = False

    def commit(self, files, ref="main"):
        told = json.dumps({path: digest(path, content) for path, content in sorted(files.items())})
        commit = hashlib.sha1(f"{ref} {len(self.commits)} {told}".encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.refs[ref] = commit
        return commit

    def at(self, revision):
        commit = self.refs.get(revision, revision)
        return (commit, self.commits[commit]) if commit in self.commits else (None, None)


@dataclass
class HubServer:
    """``repos`` is what it holds; ``asked`` what it was asked, one line each."""

    url: str = ""
    repos: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    token: str = "right"
    status: int = 0  # answered to everything, where it is not 0
    odd: bytes | None = None  # the body of every answer, where it is not None
    pause: float = 0.0  # seconds before each answer
    cuts: int = 0  # how many more answers break off
    cut: int = 0  # bytes of a longer answer after which it does
    slow: float = 0.0  # seconds between the halves of a file of weights
    served: dict = field(default_factory=dict)  # path -> other bytes than those that are listed
    reach: object = None  # turns huggingface_hub of this process to another address

    def add(self, name, folder, ref="main"):
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file()
        }
        return self.repos.setdefault(name, Repo()).commit(files, ref)

    def fetched(self):
        """Paths of the files whose content was asked for."""
        found = [re.match(r"GET /.+/resolve/\w+/(.+)", line) for line in self.asked]
        return [match[1] for match in found if match]


def handler(server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, status, body=b"", **headers):
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.send(content)

        def send(self, content):
            if server.cuts and len(content) > server.cut:
                server.cuts -= 1
                self.wfile.write(content[: server.cut])
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(2)
                return
            half = len(content) // 2 if server.slow and len(content) > 2000 else 0
            if half:
                self.wfile.write(content[:half])
                self.wfile.flush()
                time.sleep(server.slow)
            self.wfile.write(content[half:])

        def refused(self, repo):
            allowed = self.headers.get("authorization") == f"Bearer {server.token}"
            if repo is None or (repo.private and not allowed):
                self.answer(
                    401, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found"
                )
            elif repo.gated and not allowed:
                self.answer(403, X_Error_Code="GatedRepo", X_Error_Message="Gated")
            else:
                return False
            return True

        def handled(self):
            length = int(self.headers.get("Content-Length") or 0)
            self.body = self.rfile.read(length)
            path = unquote(urlsplit(self.path).path)
            server.asked.append(f"{self.command} {path}")
            time.sleep(server.pause)
            if server.odd is not None:
                return self.answer(200, server.odd)
            if server.status:
                return self.answer(server.status)
            for pattern, do in ROUTES:
                found = re.fullmatch(pattern, f"{self.command} {path}")
                if found:
                    return do(self, *found.groups())
            return self.answer(404)

        do_GET = do_HEAD = do_POST = do_PUT = handled

        def info(self, name, revision="main"):
            repo = server.repos.get(name)
            if self.refused(repo):
                return
            commit, files = repo.at(revision or "main")
            if commit is None:
                self.answer(404, X_Error_Code="RevisionNotFound")
                return
            told = [{"rfilename": path} for path in files]
            self.answer(200, {"id": name, "sha": commit, "private": repo.private, "siblings": told})

        def tree(self, name, revision):
            repo = server.repos.get(name)
            if self.refused(repo):
                return
            _, files = repo.at(revision)
            self.answer(200, [entry(path, content) for path, content in files.items()])

        def resolve(self, name, revision, path):
            repo = server.repos.get(name)
            if self.refused(repo):
                return
            commit, files = repo.at(revision)
            if files is None or path not in files:
                self.answer(404, X_Error_Code="EntryNotFound")
                return
            etag = digest(path, files[path])
            content = server.served.get(path, files[path])
            about = {"X_Repo_Commit": commit, "ETag": f'"{etag}"'}
            if is_lfs(path):
                about |= {"X_Linked_Etag": f'"{etag}"', "X_Linked_Size": str(len(content))}
            ranged = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            if ranged:
                start, whole = int(ranged[1]), len(content)
                about["Content_Range"] = f"bytes {start}-{whole - 1}/{whole}"
                content = content[start:]
            self.answer(206 if ranged else 200, content, **about)

        def writes(self):
            allowed = self.headers.get("authorization") == f"Bearer {server.token}"
            if not allowed:
                self.answer(401, X_Error_Message="Invalid username or password.")
            return allowed

        def create(self):
            if self.writes():
                told = json.loads(self.body)
                name = f"{told['organization']}/{told['name']}"
                private = told.get("visibility") == "private" or told.get("private") is True
                server.repos[name] = Repo(private=private)
                server.repos[name].commit({})
                self.answer(200, {"url": f"{server.url}/{name}"})

        def yaml(self):
            self.answer(200, {"errors": [], "warnings": []})

        def preupload(self, name, _revision):
            files = json.loads(self.body)["files"]
            mode = {True: "lfs", False: "regular"}
            told = [
                {"path": f["path"], "uploadMode": mode[is_lfs(f["path"])], "shouldIgnore": False}
                for f in files
            ]
            self.answer(200, {"files": told})

        def batch(self, name):
            objects = json.loads(self.body)["objects"]
            found = [
                {**one, "actions": {"upload": {"href": f"{server.url}/lfs/{one['oid']}"}}}
                for one in objects
            ]
            self.answer(200, {"transfer": "basic", "objects": found})

        def store(self, oid):
            LARGE[oid] = self.body
            self.answer(200)

        def commit(self, name, revision):
            if not self.writes():
                return
            _, files = server.repos[name].at(revision)
            files = dict(files)
            for line in self.body.splitlines():
                told = json.loads(line)
                if told["key"] == "file":
                    files[told["value"]["path"]] = base64.b64decode(told["value"]["content"])
                elif told["key"] == "lfsFile":
                    files[told["value"]["path"]] = LARGE[told["value"]["oid"]]
            commit = server.repos[name].commit(files)
            self.answer(
                200, {"commitUrl": f"{server.url}/{name}/commit/{commit}", "commitOid": commit}
            )

    repo = r"([\w.-]+/[\w.-]+)"
    LARGE = {}
    ROUTES = [
        (f"GET /api/models/{repo}", Handler.info),
        (f"GET /api/models/{repo}/revision/(.+)", Handler.info),
        (f"GET /api/models/{repo}/tree/(.+)", Handler.tree),
        (rf"(?:GET|HEAD) /{repo}/resolve/([^/]+)/(.+)", Handler.resolve),
        ("POST /api/repos/create", Handler.create),
        ("POST /api/validate-yaml", Handler.yaml),
        (f"POST /api/models/{repo}/preupload/(.+)", Handler.preupload),
        (rf"POST /{repo}\.git/info/lfs/objects/batch", Handler.batch),
        ("PUT /lfs/(.+)", Handler.store),
        (f"POST /api/models/{repo}/commit/(.+)", Handler.commit),
    ]
    return Handler


def entry(path, content):
    told = {"type": "file", "path": path, "size": len(content), "oid": git_id(content)}
    if is_lfs(path):
        sha = hashlib.sha256(content).hexdigest()
        told["lfs"] = {"oid": sha, "size": len(content), "pointerSize": 130}
    return told


@contextmanager
def running():
    server = HubServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler(server))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@contextmanager
def on_this_machine(tmp_path, monkeypatch):
    """A server that huggingface_hub of this process takes for the Hub, with a cache of its own."""
    from huggingface_hub import constants

    def reach(url):
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    with running() as server:
        server.reach = reach
        reach(server.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server
