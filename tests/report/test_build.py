"""The report as a whole: complete, offline, the same bytes again, without torch, and never half-written."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from latentbench.errors import ArtifactError
from latentbench.report.build import build_report

TEMPLATE = Path(__file__).parents[2] / "report" / "comparison.ipynb"
# Those that every study has, and those that are there where some model can be asked.
SECTIONS = [
    "Result", "Quality over training", "Training", "Samples",
    "Reconstructions", "Interpolations", "Networks", "Settings", "Provenance",
]  # fmt: skip
ASKED = ["Memory", "Classes", "Discriminators", "Around the mean", "Codes", "Attributes"]
NUM_FIGURES = 20


@pytest.fixture
def template(tmp_path) -> Path:
    """A copy of the report's sources that can be changed."""
    folder = tmp_path / "sources"
    shutil.copytree(TEMPLATE.parent, folder, ignore=shutil.ignore_patterns("demo"))
    return folder / TEMPLATE.name


def test_report_is_complete_offline_and_the_same_again(make_study, tmp_path):
    output = tmp_path / "report" / "demo"
    results = make_study()
    build_report(results, TEMPLATE, output)
    notebook, page = (output / "comparison.ipynb").read_bytes(), (output / "index.html").read_bytes()
    assert sorted(path.name for path in output.iterdir()) == ["comparison.ipynb", "index.html"]
    check_notebook(notebook.decode())
    check_page(page.decode())
    build_report(results, TEMPLATE, output)
    assert (output / "comparison.ipynb").read_bytes() == notebook
    assert (output / "index.html").read_bytes() == page


def check_notebook(text: str) -> None:
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert 'results = "../../results/demo"' in notebook.cells[0].source
    captions = re.findall(r"\*\*((?:Figure|Table) \d+)\.\*\*", text)
    for kind, least in (("Figure", NUM_FIGURES), ("Table", 12)):
        numbers = [caption for caption in captions if caption.startswith(kind)]
        assert numbers == [f"{kind} {number}" for number in range(1, len(numbers) + 1)]
        assert len(numbers) >= least


def check_page(page: str) -> None:
    assert "<title>Three models</title>" in page
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", page)
    # No heading is empty: of conditional models this study has none.
    assert sorted(headings) == sorted(SECTIONS + ASKED)
    contents = page.partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r"<a [^>]*>([^<]*)</a>", contents) == headings
    assert len(re.findall(r"<figcaption[^>]*>\s*<p><strong>Figure \d+\.", page)) == NUM_FIGURES
    assert len(re.findall(r"<caption>\s*<p><strong>Table \d+\.", page)) >= 12
    assert "<strong>12.0</strong> ± 0.2" in page
    # Code is there, folded away, nowhere else.
    assert len(re.findall(r'<details class="code"><summary>code</summary>', page)) == len(headings) + 1
    assert "<details open" not in page
    outside = re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)
    assert "page.figure(" in page
    assert "page.figure(" not in outside
    # Nothing is fetched: every link stays inside the file, and addresses occur as XML namespaces alone.
    assert all(link.startswith(("#", "data:")) for link in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert not re.search(r"url\((?!#|&quot;#|['\"]?#)|@import|<script", page)
    assert not re.findall(r"https?://", re.sub(r'xmlns(:\w+)?="[^"]*"', "", page))
    described = re.findall(r'<svg[^>]*aria-label="([^"]+)"', page)
    assert len(described) == NUM_FIGURES


def test_every_section_says_what_is_missing(make_study, tmp_path):
    results = make_study()
    for experiment in ("vae", "dcgan", "wgan-gp"):
        shutil.rmtree(results / experiment)
        (results / experiment).mkdir()
    build_report(results, TEMPLATE, tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    sections = dict(zip(SECTIONS, re.split(r"<h2", page)[1:], strict=True))
    for name, section in sections.items():
        assert re.search(r"There is no [^.]+(\.[a-z]+)? of vae, dcgan and wgan-gp yet", section.replace("\n", " ")), (
            name
        )
    assert "<svg" not in page


def test_failing_cell_is_one_sentence_and_leaves_the_earlier_report(make_study, tmp_path, template):
    notebook = nbformat.read(template, as_version=4)
    notebook.cells[3].source = 'raise ValueError("no such metric.")'
    nbformat.write(notebook, template)
    output = tmp_path / "report"
    output.mkdir()
    (output / "index.html").write_text("earlier")
    arguments = ["--results", make_study(), "--template", template, "--output", output]
    command = [sys.executable, "-m", "latentbench", "report", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert re.search(r"comparison\.ipynb, cell \d, failed with ValueError: no such metric; correct", ran.stderr)
    assert "Traceback" not in ran.stderr
    assert [path.name for path in output.iterdir()] == ["index.html"]
    assert (output / "index.html").read_text() == "earlier"


def test_report_needs_no_torch(make_study, tmp_path, template):
    refuse = "import sys\nassert not {name for name in sys.modules if name.partition('.')[0] == 'torch'}"
    notebook = nbformat.read(template, as_version=4)
    notebook.cells[-1].source += f"\n{refuse}"
    nbformat.write(notebook, template)
    script = (
        "import sys\nfrom pathlib import Path\nfrom latentbench.report.build import build_report\n"
        f"build_report(*map(Path, sys.argv[1:]))\n{refuse}"
    )
    paths = map(str, (make_study(), template, tmp_path / "report"))
    subprocess.run([sys.executable, "-c", script, *paths], check=True)
    assert (tmp_path / "report" / "index.html").is_file()


def test_source_that_is_missing_is_named(make_study, tmp_path):
    with pytest.raises(ArtifactError, match=r"nowhere\.ipynb is missing"):
        build_report(make_study(), tmp_path / "nowhere.ipynb", tmp_path / "report")
