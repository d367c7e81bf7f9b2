"""The part of Kubernetes' API that Snakemake's plugin uses: a pod is a process in a folder."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CONFIG = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{{name: here, cluster: {{server: "{server}"}}}}]
users: [{{name: me, user: {{}}}}]
contexts: [{{name: here, context: {{cluster: here, user: me}}}}]
"""


class Cluster:
    """`manifests` are the jobs as they were sent; pods find commands on `path`."""

    def __init__(self, folder: Path, path: str) -> None:
        self.folder = folder
        self.path = path
        self.manifests: list[dict[str, Any]] = []
        self.secrets: dict[str, dict[str, str]] = {}
        self.pods: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, manifest: dict[str, Any]) -> None:
        self.manifests.append(manifest)
        name = manifest["metadata"]["name"]
        [container] = manifest["spec"]["template"]["spec"]["containers"]
        place = self.folder / name
        place.mkdir()
        environment = {"PATH": self.path, "HOME": str(place)}
        for variable in container["env"]:
            source = variable["valueFrom"]["secretKeyRef"]
            environment[variable["name"]] = base64.b64decode(
                self.secrets[source["name"]][source["key"]]
            ).decode()
        with (self.folder / f"{name}.log").open("wb") as log:
            command = [*container["command"], *container["args"]]
            self.pods[name] = subprocess.Popen(
                command, cwd=place, env=environment, stdout=log, stderr=log
            )

    def status(self, name: str) -> dict[str, int]:
        code = self.pods[name].poll()
        return {"active": 1} if code is None else {"succeeded": 1} if code == 0 else {"failed": 1}


@contextmanager
def running(cluster: Cluster) -> Iterator[Path]:
    """The path of the configuration by which its clients find it."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/secrets"):
                cluster.secrets[sent["metadata"]["name"]] = sent["data"]
            else:
                cluster.start(sent)
            self.answer(sent)

        def do_GET(self) -> None:
            *_, name, last = self.path.split("/")
            self.answer(
                {"items": []} if last.startswith("pods") else {"status": cluster.status(name)}
            )

        def do_DELETE(self) -> None:
            self.answer({})

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = cluster.folder / "kubeconfig"
    config.write_text(CONFIG.format(server=f"http://127.0.0.1:{server.server_port}"))
    try:
        yield config
    finally:
        server.shutdown()
        server.server_close()
        for pod in cluster.pods.values():
            pod.terminate()
            pod.wait(timeout=60)


def search_path(*folders: Path) -> str:
    return os.pathsep.join([*map(str, folders), os.environ["PATH"]])
