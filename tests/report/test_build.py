"""The report as a whole: complete, offline, reproducible, without torch, written atomically."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

from latentbench.artifacts.files import write_yaml
from latentbench.artifacts.provenance import write_record
from latentbench.config.load import read_yaml
from latentbench.config.params import GLANCE, NOTEBOOKS
from latentbench.errors import ArtifactError
from latentbench.report.build import build_report
from latentbench.report.rendering.document import PARTS
from tests.report.conftest import write_pictures

SOURCES = Path(__file__).parents[2] / "report"
# Sections that every study has, and optional ones.
CHAPTERS = {
    "1. Comparison": ["Result", "Quality over training"],
    "2. Latent space": ["Random samples", "Reconstructions", "Interpolations"],
    "3. Training": [
        "Networks", "Settings", "Losses", "Training and test images", "Gradients", "Provenance",
        "Cost",
    ],
    "4. Data": ["Origin and preparation", "Images"],
}  # fmt: skip
OPTIONAL = {
    "Signs of trouble", "Samples over time", "Reconstructions over time",
    "Around the mean", "Principal directions", "Directions of classes", "Codes", "Attributes",
    "Memorization", "Classes", "Discriminators", "Strengths and weaknesses",
}  # fmt: skip
OUTPUTS = ["background.ipynb", "comparison.ipynb", "data.ipynb", "glance.ipynb", "index.html"]
OUTPUTS += ["latent.ipynb", "provenance.json", "report.pdf"]
WITHOUT_TORCH = """
import sys

assert "torch" not in {name.partition(".")[0] for name in sys.modules}
"""


@pytest.fixture
def sources(tmp_path) -> Path:
    """A copy of the report's sources that can be changed."""
    folder = tmp_path / "sources"
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("demo"))
    return folder


def only(results: Path, *notebooks: str) -> Path:
    """The study with these chapters."""
    study = read_yaml(results / "study.yaml")
    write_yaml(results / "study.yaml", study | {"notebooks": list(notebooks)})
    return results


def add_cell(template: Path, cell: nbformat.NotebookNode) -> None:
    notebook = nbformat.read(template, as_version=4)
    notebook.cells.append(cell)
    nbformat.write(notebook, template)


@pytest.mark.slow
def test_report_is_complete_offline_and_the_same_again(make_study, tmp_path, sources):
    output = tmp_path / "report" / "demo"
    results = make_study()
    for name in ("vae", "dcgan", "wgan-gp"):
        write_pictures(results / name, [1, 2, 4])
    for chapter in (GLANCE, *NOTEBOOKS):
        add_cell(sources / f"{chapter}.ipynb", nbformat.v4.new_code_cell(WITHOUT_TORCH))
    build_report(results, sources, output)
    first = {path.name: path.read_bytes() for path in output.iterdir()}
    assert sorted(first) == sorted([*OUTPUTS, "training.ipynb"])
    check_notebook(first[f"{GLANCE}.ipynb"].decode(), "")
    for chapter, name in enumerate(NOTEBOOKS, start=1):
        check_notebook(first[f"{name}.ipynb"].decode(), f"{chapter}.")
    check_page(first["index.html"].decode())
    assert first["report.pdf"].startswith(b"%PDF")
    build_report(results, sources, output)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == first


def check_notebook(text: str, chapter: str) -> None:
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert 'results = "../../results/demo"' in notebook.cells[0].source
    title, byline = (output.data["text/markdown"] for output in notebook.cells[1].outputs)
    assert title.startswith(f"# {chapter} " if chapter else "# At a glance")
    assert byline == r"**Three models**" + "\n\n" + r"*Which is best\?*" + "\n\n" + r"A\. Author"
    # Markdown would come before the heading of an optional section, which waits for content.
    for cell, following in pairwise(notebook.cells):
        assert "optional=True" not in cell.source or following.cell_type == "code"
    captions = re.findall(r"\*\*((?:Figure|Table|Animation) [\d.]+)\.\*\*", text)
    assert captions or chapter == f"{len(NOTEBOOKS)}."
    for kind in ("Figure", "Table", "Animation"):
        numbers = [caption for caption in captions if caption.startswith(kind)]
        assert numbers == [f"{kind} {chapter}{number}" for number in range(1, len(numbers) + 1)]
    # Citations are text, and their works are listed at the end.
    words = "".join(
        cell.source if cell.cell_type == "markdown" else str(cell.outputs)
        for cell in notebook.cells
    )
    assert not re.search(r"\[[^\]]*@\w+", words)
    assert ("## References" in notebook.cells[-1].source) == bool(
        re.search(r"\b(19|20)\d\d\)", words)
    )


def check_page(page: str) -> None:
    assert "<title>Three models</title>" in page
    head = page.partition("<header>")[2].partition("</header>")[0]
    assert "A. Author" in head
    glance = page.partition("</header>")[2].partition("1. Comparison")[0]
    assert "wgan-gp has the lowest" in glance
    assert "<svg" in glance
    assert "<table" in glance
    # No heading is empty: this study has no conditional models.
    found = re.findall(r"<h([12])[^>]*>([^<]*)</h\1>", page)
    sections = [heading for level, heading in found if level == "2"]
    assert [heading for level, heading in found if level == "1"] == [
        "At a glance",
        *CHAPTERS,
        "5. Background",
        "References",
    ]
    known = {heading for chapter in CHAPTERS.values() for heading in chapter} | OPTIONAL
    of_results = sections[: sections.index("Models with a latent variable")]
    assert sorted(of_results) == sorted(known)
    contents = page.partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r"<a [^>]*>([^<]*)</a>", contents) == [heading for _, heading in found]
    figures = re.findall(r"<figcaption[^>]*>\s*<p><strong>(Figure [\d.]+)\.", page)
    assert (
        len(figures)
        == len(set(figures))
        == len(re.findall(r"<svg[^>]*aria-label=\"[^\"]+\"", page))
    )
    assert len(figures) >= 25
    assert len(re.findall(r'<img[^>]*class="animation"', page)) == 3
    assert len(re.findall(r"<caption>\s*<p><strong>Table [\d.]+\.", page)) >= 12
    assert "<strong>12.0</strong> ± 0.2" in page
    # On a narrow screen a table scrolls in a box of its own instead of the page.
    assert len(re.findall(r"<table[\s>]", page)) == len(
        re.findall(r'<div[^>]*class="table"[^>]*>\s*<table[\s>]', page)
    )
    # Code is folded away.
    assert "<details open" not in page
    outside = re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)
    assert "page.figure(" in page
    assert "page.figure(" not in outside
    # The page fetches nothing: what it loads is inside the file. Cited works have links.
    loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]*)"', page)
    assert all(link.startswith("data:") for link in loaded)
    assert not re.search(r"url\((?!#|&quot;#|['\"]?#)|@import", page)
    # One script, and the data of the figures that it moves.
    moving = re.findall(r'<script type="application/json" id="interactive-(\d+)">', page)
    assert moving == re.findall(r'data-interactive="(\d+)"', page)
    assert len(moving) >= 4
    assert page.count("<script") == len(moving) + 1
    anchors = re.findall(r'<a[^>]*href="([^"]*)"', page)
    targets = set(re.findall(r'\bid="([^"]*)"', page))
    assert all(link[1:] in targets for link in anchors if link.startswith("#"))
    assert all(link.startswith(("#", "https://")) for link in anchors)


def test_every_section_has_a_note_on_what_is_missing(make_study, tmp_path):
    results = make_study()
    for experiment in ("vae", "dcgan", "wgan-gp"):
        shutil.rmtree(results / experiment)
        (results / experiment).mkdir()
    build_report(
        only(results, "data", "training", "latent", "comparison"), SOURCES, tmp_path / "report"
    )
    page = (tmp_path / "report" / "index.html").read_text()
    parts = re.split(r"<h[12][^>]*>", page.partition("</header>")[2])[1:]
    sections = {part.partition("<")[0]: part.replace("\n", " ") for part in parts}
    for name in [heading for chapter in CHAPTERS.values() for heading in chapter]:
        assert re.search(r"<em>[^<]+</em>|<code>latentbench \w+</code>", sections[name]), name
    assert "<svg" not in page


def test_a_single_chapter_of_a_small_budget(make_study, tmp_path):
    """An earlier report had another chapter, and the title has characters of HTML and LaTeX.

    Neither the kernels, in the test of the whole report, nor the process that starts them imports
    torch.
    """
    results, output = only(make_study(), "comparison"), tmp_path / "report"
    title, author = "A & B <c> #1 $x$ @nobody1999 50% *q*", 'Ann "X" O\'Neil \\b _y_'
    study = {"title": title, "question": title, "authors": [author], "budget": "small"}
    write_yaml(results / "study.yaml", read_yaml(results / "study.yaml") | study)
    output.mkdir()
    (output / "training.ipynb").write_text("of an earlier report")
    script = "import sys\nfrom pathlib import Path\n"
    script += "from latentbench.report.build import build_report\n"
    script += f"build_report(*map(Path, sys.argv[1:]))\n{WITHOUT_TORCH}"
    paths = map(str, (results, SOURCES, output))
    subprocess.run([sys.executable, "-c", script, *paths], check=True)

    assert sorted(path.name for path in output.glob("*.ipynb")) == [
        "comparison.ipynb",
        "glance.ipynb",
    ]
    page = (output / "index.html").read_text()
    head = page.partition("<header>")[2].partition("</header>")[0]
    assert "<strong>first look</strong>" in head
    assert "<h1>1. Comparison</h1>" in page.replace("\n", " ")
    words = re.sub(r"\s+", " ", html.unescape(head))
    assert words.count(title) == 2
    assert author in words.replace("“", '"').replace("”", '"').replace("’", "'")


def test_a_work_that_is_not_in_the_bibliography_is_named(make_study, tmp_path, sources):
    add_cell(sources / "comparison.ipynb", nbformat.v4.new_markdown_cell("As shown [@nobody1999]."))
    with pytest.raises(ArtifactError, match="nobody1999"):
        build_report(only(make_study(), "comparison"), sources, tmp_path / "report")
    assert not list((tmp_path / "report").iterdir())


def test_failing_cell_is_one_sentence_and_leaves_the_earlier_report(make_study, tmp_path, sources):
    template = sources / "comparison.ipynb"
    notebook = nbformat.read(template, as_version=4)
    notebook.cells[3].source = 'raise ValueError("no such metric.")'
    nbformat.write(notebook, template)
    output = tmp_path / "report"
    output.mkdir()
    (output / "index.html").write_text("earlier")
    arguments = [
        "--results",
        only(make_study(), "comparison"),
        "--sources",
        sources,
        "--output",
        output,
    ]
    command = [sys.executable, "-m", "latentbench", "report", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert re.search(r"comparison\.ipynb, cell \d.*ValueError: no such metric", ran.stderr)
    assert "Traceback" not in ran.stderr
    assert [path.name for path in output.iterdir()] == ["index.html"]
    assert (output / "index.html").read_text() == "earlier"


def test_the_walkthrough_is_a_chapter_with_its_code(make_study, tmp_path, sources):
    """It was executed by its own stage, and is not run again."""
    results, folder = only(make_study(), "walkthrough"), tmp_path / "walkthrough"
    with pytest.raises(ArtifactError, match="latentbench walkthrough"):
        build_report(results, sources, tmp_path / "report", walkthrough=folder)
    (sources / "walkthrough.ipynb").unlink()
    code = nbformat.v4.new_code_cell("raise ValueError(results)", id="b")
    code.outputs = [nbformat.v4.new_output("stream", name="stdout", text="printed <b>\n")]
    cells = [
        nbformat.v4.new_markdown_cell("# Walkthrough\n\nA VAE [@kingma2014vae].", id="a"),
        nbformat.v4.new_code_cell('results = "elsewhere"\ndata = "data"\nepochs = 3', id="p"),
        code,
    ]
    folder.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "walkthrough.ipynb")
    write_record(
        folder / "provenance.json",
        "walkthrough",
        settings={},
        inputs=[],
        outputs=[folder / "walkthrough.ipynb"],
        cost=None,
    )
    output = tmp_path / "report"
    build_report(results, sources, output, walkthrough=folder)
    made = nbformat.read(output / "walkthrough.ipynb", as_version=4)
    parameters = 'results = "../results/demo"\ndata = "../walkthrough/data"\nepochs = 3'
    assert made.cells[1].source == parameters
    page = (output / "index.html").read_text()
    outside = re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)
    assert "1. Walkthrough</h1>" in outside.replace("\n", " ")
    assert "raise ValueError(results)" in outside
    assert "printed &lt;b&gt;" in outside
    (folder / "walkthrough.ipynb").write_text("{}")
    with pytest.raises(ArtifactError, match="SHA-256"):
        build_report(results, sources, output, walkthrough=folder)


@pytest.mark.parametrize("part", ["data.ipynb", *PARTS])
def test_source_that_is_missing_is_named(make_study, tmp_path, sources, part):
    (sources / part).unlink()
    with pytest.raises(ArtifactError, match=f"{part} is missing"):
        build_report(make_study(), sources, tmp_path / "report")
