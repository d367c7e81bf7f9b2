"""README and the pages of the documentation agree with the code."""

from __future__ import annotations

import csv
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from latentbench.artifacts.dependencies import OF_DATASETS, OF_EXPERIMENTS
from latentbench.artifacts.metrics import (
    CLASS_SHARES,
    CLOSER_TO_TRAIN,
    LABEL_ACCURACY,
    NAMES,
    PRDC,
)
from latentbench.cli import main
from latentbench.config.datasets import DATASETS
from latentbench.config.load import parse_params
from latentbench.config.models import MODELS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
# Pages that hooks.py writes when the site is built.
GENERATED = {"settings.md", "changelog.md", "contributing.md"}


def _blocks(page: Path, language: str) -> list[str]:
    found = CODE.findall(page.read_text(encoding="utf-8"))
    return [text for name, text in found if name == language]


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_is_short() -> None:
    assert len(README.split()) <= 900


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in link and link not in GENERATED:
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = "\n".join(
        [*re.findall("`([^`\n]+)`", text), *(block for _, block in CODE.findall(text))]
    )
    for command in re.findall(r"(?:^|/)latentbench ([a-z]+)\b", code, re.MULTILINE):
        assert command in main.commands
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z][a-z0-9-]+)\b", code, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_params_are_valid(page: Path) -> None:
    """Each YAML block is a params file, or a part of one."""
    for block in _blocks(page, "yaml"):
        params: dict[str, Any] = yaml.safe_load(block)
        experiments = list(params.setdefault("experiments", {}).values())
        for section in ("studies", "datasets"):
            params.setdefault(section, {})
        for experiment in experiments:
            params["studies"].setdefault(experiment["study"], {"title": "A study"})
            params["datasets"].setdefault(experiment["dataset"], {"source": "glyphs"})
        parsed = parse_params(params, where=page.name)
        assert parsed.studies or parsed.datasets


def test_every_study_dataset_model_and_stage_has_a_row() -> None:
    names = {
        "studies.md": yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["studies"],
        "datasets.md": DATASETS,
        "models.md": MODELS,
        "engines.md": ("configure", *OF_DATASETS, *OF_EXPERIMENTS, "report", "handin"),
    }
    for page, expected in names.items():
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        first_cells = "\n".join(re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE))
        for name in expected:
            assert f"`{name}`" in first_cells, (page, name)


def test_every_metric_has_a_row() -> None:
    columns = [*NAMES, CLASS_SHARES, LABEL_ACCURACY]
    columns += [f"{name}_…" for name in (*PRDC, CLOSER_TO_TRAIN)]
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for column in columns:
        assert re.search(rf"^\| [^|]+ \| [^|]*`{column}`", text, re.MULTILINE), column


def test_settings_page_has_every_key(hooks: ModuleType) -> None:
    schema = hooks.read_schema()
    page = hooks.settings_page(schema)
    keys = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    for name, definition in schema["$defs"].items():
        expected = set(definition["properties"]) - {"name", "source"}
        if name == "Defaults":
            expected = set()
        assert expected <= keys, name
    sections = re.findall(r"^#{2,3} (.+)", page, re.MULTILINE)
    assert len(sections) == len(set(sections))
    for link in re.findall(r"\]\(#(\w+)\)", page):
        assert link in sections


@pytest.mark.parametrize(
    ("html", "is_foreign"),
    [
        ('<script defer src="https://cdn.example/a.js">', True),
        ("<link rel=stylesheet href=//fonts.example/a.css>", True),
        ('<img alt="" src="http://host.example/a.png">', True),
        ('<a href="https://github.com/NVlabs/edm">', False),
        ('<link rel="canonical" href="https://docs.example/api.html">', False),
        ('<script src="assets/iframe-worker.js">', False),
    ],
)
def test_the_site_loads_nothing_from_other_hosts(
    html: str, is_foreign: bool, hooks: ModuleType
) -> None:
    assert bool(hooks.FOREIGN.search(html)) == is_foreign


@pytest.mark.parametrize(
    ("key", "row"),
    [
        # A member that differs from the others has a row of its own.
        ("decoder_std", "| number > 0, `null` | `null` |"),
        ("epochs", "| integer ≥ 1 | `20` |"),
        ("title", "| text | required |"),
    ],
)
def test_settings_page_states_values_and_default(hooks: ModuleType, key: str, row: str) -> None:
    page = hooks.settings_page(hooks.read_schema())
    assert f"| `{key}` {row}" in page


def test_the_site_lists_every_page() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r": (\S+\.md)$", config, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == {page.name for page in PAGES[1:]} | GENERATED


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders of README's study `demo`, with two models that were trained for a moment."""
    monkeypatch.chdir(tmp_path)
    params: dict[str, Any] = yaml.safe_load((ROOT / "tests/params/tiny.yaml").read_text())
    tiny = params["studies"]["tiny"]
    params["studies"] = {"demo": tiny, "families": {"title": "Families"}}
    params["datasets"] = {"glyphs": params["datasets"]["digits"] | {"num_train": 200}}
    vae = params["experiments"]["vae"] | {"study": "demo", "dataset": "glyphs", "repeats": 1}
    gan = params["experiments"]["dcgan"] | {"study": "demo", "dataset": "glyphs", "search": {}}
    diffusion = {"model": {"name": "diffusion", "width": 4, "sampling_steps": 1}}
    diffusion |= {
        "study": "families",
        "dataset": "glyphs",
        "training": {"epochs": 1, "checkpoints": [1]},
    }
    params["experiments"] = {"vae": vae, "dcgan": gan, "diffusion": diffusion}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    configure = ["configure", "--params", "params.yaml"]
    dataset, results, gans = "data/config/glyphs", "results/demo/vae", "results/demo/dcgan"
    noise = "results/families/families-color-diffusion"
    data, raw = ["--data", "data/prepared/glyphs"], ["--raw", "data/raw/glyphs"]
    place = ["--results", results, "--scratch", "scratch"]
    of_gan = ["--results", gans, "--scratch", "scratch/dcgan"]
    of_noise = ["--results", noise, "--scratch", "scratch/diffusion"]
    reference = ["--reference", "data/reference/glyphs"]
    for command in (
        [*configure, "--study", "demo", "--output", "results/demo"],
        [*configure, "--dataset", "glyphs", "--output", dataset],
        [*configure, "--experiment", "vae", "--output", results],
        [*configure, "--experiment", "dcgan", "--output", gans],
        [*configure, "--experiment", "diffusion", "--output", noise],
        ["fetch", "--config", f"{dataset}/fetch.yaml", "--output", "data/raw/glyphs"],
        ["prepare", "--config", f"{dataset}/prepare.yaml", *raw, "--output", data[1]],
        ["reference", "--config", f"{dataset}/reference.yaml", *data, "--output", reference[1]],
        ["train", "--config", f"{results}/config/train.yaml", *data, *place, "--logs", "logs"],
        ["train", "--config", f"{gans}/config/train.yaml", *data, *of_gan, "--logs", "logs"],
        ["train", "--config", f"{noise}/config/train.yaml", *data, *of_noise, "--logs", "logs"],
        ["evaluate", "--config", f"{results}/config/evaluate.yaml", *data, *reference, *place],
    ):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
    return tmp_path


def test_python_of_readme_and_of_the_api_runs(
    demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [block] = _blocks(ROOT / "README.md", "python")
    exec(compile(block, "README.md", "exec"), {})
    with Image.open(demo / "samples.png") as samples, Image.open(demo / "path.png") as path:
        assert samples.width == path.width
        assert samples.height > 3 * path.height
    with (demo / "metrics.csv").open(encoding="utf-8") as file:
        assert "fd_classifier" in {row["metric"] for row in csv.DictReader(file)}
    found: dict[str, Any] = {}
    for block in _blocks(ROOT / "docs" / "api.md", "python"):
        exec(compile(block, "api.md", "exec"), found)
    assert found["path"].shape == (8, 32, 32, 1)
    assert found["found"].shape == (2, found["gan"].latent_dim)
    assert found["one"].shape == (1,)
    assert found["denoised"].shape == (4, 2, 32, 32, 1)
    assert "discriminator" in capsys.readouterr().out
    if importlib.util.find_spec("onnxruntime") is None:
        return
    for block in _blocks(ROOT / "docs" / "export.md", "python"):
        exec(compile(block, "export.md", "exec"), {})
    with Image.open(demo / "samples.png") as samples:
        assert samples.size == (8 * 32, 32)
