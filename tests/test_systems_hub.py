"""The hub, by a local stand-in that has its routes and keeps what it is sent."""

import base64
import http.server
import json
import shutil
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from drcap.config import Config, override
from drcap.errors import CheckpointError
from drcap.systems import drcap, hub

COMMIT = "c" * 40
ID = "user/barks"
RECORD = {
    "started": "2026-01-02T03:04:05+00:00",
    "seed": 7,
    "git": {"commit": "abc123", "changed": False},
    "inputs": {"my_captions.txt": "0123456789abcdef"},
    "machine": {"cpu": "A Processor", "accelerators": []},
    "steps_done": 12,
}


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


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The stand-in, in the place of the hub."""
    monkeypatch.setattr(Hub, "files", {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        url = f"http://127.0.0.1:{server.server_port}"
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_none")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield Hub
        server.shutdown()


@pytest.fixture
def model(tmp_path):
    """What `push` needs of a DRCap: a configuration, and files to save."""
    folder = tmp_path / "model"
    (folder / "adapter").mkdir(parents=True)
    (folder / "mapper.safetensors").write_bytes(b"mapper")
    (folder / "adapter" / "adapter.safetensors").write_bytes(b"adapter")
    (folder / "run.json").write_text(json.dumps(RECORD))

    def save(target):
        shutil.copytree(folder, target, dirs_exist_ok=True)
        (target / "run.json").unlink()

    return SimpleNamespace(config=Config(), folder=folder, save_pretrained=save)


def test_a_model_comes_down_as_it_went_up(server, model):
    assert drcap.DRCap.push_to_hub(model, ID).endswith(f"/{ID}/commit/{COMMIT}")
    folder = drcap._find(ID)
    files = (path for path in folder.rglob("*") if path.is_file())
    assert sorted(path.relative_to(folder).as_posix() for path in files) == [
        "README.md",
        "adapter/adapter.safetensors",
        "mapper.safetensors",
        "run.json",
    ]
    assert (folder / "adapter/adapter.safetensors").read_bytes() == b"adapter"
    assert json.loads((folder / "run.json").read_text()) == RECORD


def test_the_card_says_what_the_record_says(server, model):
    hub.push(model, ID)
    card = server.files["README.md"].decode()
    assert card.startswith("---\nbase_model: HuggingFaceTB/SmolLM2-135M-Instruct\n")
    for text in (
        'DRCap.from_pretrained("user/barks")',
        "my_captions.txt",
        "abc123",
        "0.75 to 0.85",
        "(Apache-2.0)",
    ):
        assert text in card
    (model.folder / "run.json").unlink()  # a model without a record has a card, too
    model.config = override(Config(), {"captioner": {"language_model": "some/llm"}})
    card = hub.model_card(model.folder, ID, model.config)
    assert "base_model: some/llm" in card and "abc123" not in card


def test_a_clap_of_its_own_goes_with_it(server, model, tmp_path):
    (tmp_path / "my-clap").mkdir()
    (tmp_path / "my-clap" / "weights").write_bytes(b"clap")
    model.config = replace(model.config, clap=str(tmp_path / "my-clap"))
    hub.push(model, ID)
    assert server.files["clap/weights"] == b"clap"
    assert json.loads(server.files["config.json"])["clap"] == "clap"


def test_what_cannot_go_up_is_one_line(server, model, tmp_path, monkeypatch):
    monkeypatch.setattr(Hub, "refuses", True)
    with pytest.raises(CheckpointError, match=f"^{ID}: not uploaded .*403[^\n]*$"):
        hub.push(model, ID)
    name = {"captioner": {"language_model": str(tmp_path)}}
    model.config = override(Config(), name)
    with pytest.raises(CheckpointError, match="language_model: .* is no id"):
        hub.push(model, ID)
