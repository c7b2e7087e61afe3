"""A stand-in for the hub on this machine: its routes; it keeps what it is sent."""

import base64
import http.server
import json
import threading
from contextlib import contextmanager

from huggingface_hub import constants

COMMIT = "c" * 40
ID = "user/barks"


class Hub(http.server.BaseHTTPRequestHandler):
    """The routes that creating, uploading and downloading a model take."""

    files: dict[str, bytes] = {}
    refuses = False

    def log_message(self, *_):
        pass

    def reply(self, content, code=200, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        address = f"http://{self.headers['Host']}/{ID}"
        if self.refuses:
            self.reply({"error": "no"}, 403)
        elif self.path == "/api/validate-yaml":
            self.reply({"errors": [], "warnings": []})
        elif self.path == "/api/repos/create":
            self.reply({"url": address, "id": ID})
        elif self.path == f"/api/models/{ID}/preupload/main":
            files = [entry["path"] for entry in json.loads(sent)["files"]]
            modes = [{"path": path, "uploadMode": "regular"} for path in files]
            self.reply({"files": [mode | {"shouldIgnore": False} for mode in modes]})
        elif self.path.startswith(f"/api/models/{ID}/commit/main"):
            for line in map(json.loads, sent.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.files[line["value"]["path"]] = content
            url = f"{address}/commit/{COMMIT}"
            self.reply({"commitUrl": url, "commitOid": COMMIT, "hookOutput": ""})

    def do_GET(self):
        file = self.path.partition("/resolve/")[2].partition("/")[2]
        if self.path.startswith(f"/api/models/{ID}/tree"):
            entry = {"type": "file", "oid": "0"}
            files = [{"path": k, "size": len(v)} for k, v in self.files.items()]
            self.reply([entry | file for file in files])
        elif self.path.startswith(f"/api/models/{ID}"):
            siblings = [{"rfilename": name} for name in self.files]
            self.reply({"id": ID, "sha": COMMIT, "siblings": siblings})
        elif file in self.files:
            etag = f'"{file.replace("/", "-")}"'
            self.reply(self.files[file], ETag=etag, X_Repo_Commit=COMMIT)
        else:
            self.reply({}, 404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET


@contextmanager
def serving(cache, monkeypatch):
    """Serve in the place of the hub, whose cache is the folder `cache`."""
    monkeypatch.setattr(Hub, "files", {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        url = f"http://127.0.0.1:{server.server_port}"
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_none")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield Hub
        server.shutdown()
