"""The workflow on Kubernetes, with files in S3: fake servers answer the plugins' real calls."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latentbench.artifacts.paths import PROVENANCE
from tests.cluster import kubernetes_api
from tests.cluster.test_slurm import BIN, ROOT, TINY, clone, finished, snakemake

pytestmark = pytest.mark.cluster

SNAKEMAKE = ROOT / ".venv-kubernetes" / "bin"
S3 = ROOT / ".venv-s3" / "bin" / "moto_server"
IMAGE = "registry.lab/latentbench:1"
# As NEEDS of workflow/rules/common.smk has it.
MEMORY = {"prepare": "4000M", "reference": "6000M", "train": "4000M", "evaluate": "6000M"}
KEYS = {"SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "me", "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "secret"}
# Reads jobs with Kubernetes' own client, which refuses missing keys and wrong types.
READ_AGAIN = """
import json, sys
from types import SimpleNamespace
from kubernetes.client import ApiClient
client = ApiClient()
sent = json.load(sys.stdin)
read = [client.deserialize(SimpleNamespace(data=json.dumps(job)), "V1Job") for job in sent]
print(json.dumps(client.sanitize_for_serialization(read)))
"""
STORED = """
import sys, boto3
endpoint, name, key, secret = sys.argv[1:]
keys = {"aws_access_key_id": key, "aws_secret_access_key": secret}
client = boto3.client("s3", endpoint_url=endpoint, **keys)
sys.stdout.buffer.write(client.get_object(Bucket="bucket", Key=name)["Body"].read())
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 with an empty bucket."""
    if not (S3.exists() and (SNAKEMAKE / "snakemake").exists()):
        pytest.fail("Their environments are missing; make them by `make test-cluster`.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [str(S3), "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(60):
            try:
                put = urllib.request.Request(f"http://127.0.0.1:{port}/bucket", method="PUT")
                urllib.request.urlopen(put, timeout=10).close()
                break
            except OSError:
                time.sleep(1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[kubernetes_api.Cluster, dict[str, str]]]:
    """Kubernetes, and the environment from which it is reached."""
    folder = tmp_path / "pods"
    image = folder / "image"
    image.mkdir(parents=True)
    # As in the image: the plugin that a pod would fetch is there.
    (image / "pip").symlink_to("/bin/true")
    path = kubernetes_api.search_path(image, SNAKEMAKE, BIN)
    held = kubernetes_api.Cluster(folder, path)
    with kubernetes_api.running(held) as config:
        yield (
            held,
            os.environ | KEYS | {"PATH": path, "KUBECONFIG": str(config), "SLURM_CONF": os.devnull},
        )


def by_kubernetes(
    folder: Path, environment: dict[str, str], endpoint: str, *arguments: str
) -> subprocess.Popen[str]:
    profile = ("--profile", "profiles/kubernetes", "--container-image", IMAGE)
    storage = (
        "--default-storage-prefix",
        f"s3://bucket/{folder.name}",
        "--storage-s3-endpoint-url",
        endpoint,
    )
    return snakemake(
        folder, environment, *profile, *storage, *arguments, program=SNAKEMAKE / "snakemake"
    )


def test_a_dry_run_wants_every_stage(
    cluster: tuple[kubernetes_api.Cluster, dict[str, str]], endpoint: str, tmp_path: Path
) -> None:
    folder = clone(tmp_path / "dry")
    said = finished(
        by_kubernetes(
            folder, cluster[1], endpoint, "--dry-run", "--configfile", str(TINY), "--", "tiny"
        )
    )
    counts = dict(re.findall(r"^([a-z]+) +(\d+)$", said, flags=re.MULTILINE))
    stages = {name: counts[name] for name in ("train", "evaluate", "explore", "prepare", "report")}
    assert stages == {"train": "3", "evaluate": "3", "explore": "3", "prepare": "1", "report": "1"}
    assert cluster[0].manifests == []


def test_pods_leave_the_bits_of_a_local_run(
    cluster: tuple[kubernetes_api.Cluster, dict[str, str]], endpoint: str, tmp_path: Path
) -> None:
    here, there = clone(tmp_path / "here"), clone(tmp_path / "there")
    for folder in (here, there):
        (folder / "params.yaml").write_text(TINY.read_text())
    target = "results/tiny/vae/metrics.csv"
    finished(snakemake(here, dict(os.environ), "--", target))
    kubernetes, environment = cluster
    gpu = ("--set-resources", "train:gpu=1")
    finished(by_kubernetes(there, environment, endpoint, *gpu, "--", target))

    place = "results/tiny/vae"
    for name in ("metrics.csv", "checkpoints/epoch-0002.safetensors"):
        assert stored(endpoint, f"there/{place}/{name}") == (here / place / name).read_bytes()
    ours, theirs = (
        (here / place / PROVENANCE).read_bytes(),
        stored(endpoint, f"there/{place}/{PROVENANCE}"),
    )
    record, stored_record = json.loads(ours), json.loads(theirs)
    assert stored_record["inputs"] == record["inputs"]
    assert stored_record["outputs"].keys() == record["outputs"].keys()

    jobs = {stage_of(manifest): manifest for manifest in kubernetes.manifests}
    assert set(jobs) == {"prepare", "reference", "train", "evaluate"}
    assert read_again(kubernetes.manifests) == kubernetes.manifests
    for stage, manifest in jobs.items():
        pod = manifest["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert container["image"] == IMAGE
        assert {variable["name"] for variable in container["env"]} >= set(KEYS)
        resources = container["resources"]
        assert resources["limits"]["memory"] == resources["requests"]["memory"] == MEMORY[stage]
        # Kubernetes gives a GPU by the limit, which the request must equal.
        requested = [resources[kind].get("nvidia.com/gpu", "0") for kind in ("requests", "limits")]
        assert requested == (["1", "1"] if stage == "train" else ["0", "0"])


def stage_of(manifest: dict[str, Any]) -> str:
    [command] = manifest["spec"]["template"]["spec"]["containers"][0]["args"][1:]
    _, _, target = command.partition("--target-jobs ")
    return target.lstrip("'").partition(":")[0]


def stored(endpoint: str, name: str) -> bytes:
    return in_python(STORED, endpoint, name, *KEYS.values())


def read_again(manifests: list[dict[str, Any]]) -> Any:
    return json.loads(in_python(READ_AGAIN, given=json.dumps(manifests).encode()))


def in_python(script: str, *words: str, given: bytes = b"") -> bytes:
    """What it prints, in the environment that has the plugins' clients."""
    command = [str(SNAKEMAKE / "python"), "-c", script, *words]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout
