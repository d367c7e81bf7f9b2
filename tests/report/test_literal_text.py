"""Names of others are shown letter by letter: in Markdown, HTML, typst and figures."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import nbformat
import pandas as pd
import pytest
import typst
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook, new_output

from latentbench.artifacts.paths import LATENT_FACTS, PROVENANCE
from latentbench.config.load import read_yaml
from latentbench.report.presentation import page
from latentbench.report.presentation.style import house_style, to_svg
from latentbench.report.rendering import document
from latentbench.report.rendering.citations import with_citations
from latentbench.results.formatting import code_markdown, escape_markdown, one_line
from tests.report.conftest import change, change_record

SOURCES = Path(__file__).parents[2] / "report"
HOSTILE = [
    '<script>alert("x")</script>',
    "![a](/etc/hostname)",
    "[click](https://evil.example)",
    '`#import "x"`{=typst}',
    "$5 to $10",
    r"$\frac$",
    "[@unknown]",
    "| a | b |",
    "a\n\n# Heading",
    "<img src=x onerror=alert(1)>",
]
# Signs of Markdown, HTML, typst and LaTeX are frequent, and so are odd characters.
SIGNS = st.sampled_from([*"#$*_`~[](){}<>@|\\/:;.-+=!?&%^\"'\n\t1a ", "\x1b", "\u202e", "é", "王"])
TEXTS = st.lists(st.text(SIGNS | st.characters(codec="utf-8"), min_size=1), min_size=1)


class Structure(HTMLParser):
    """The tags of a page with their attributes, its text, and the text of its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        # The parser takes all up to </script> for the script's text, as browsers do.
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.text += data


def notebook_of(*outputs: str) -> Any:
    shown = [new_output("display_data", {"text/markdown": output}) for output in outputs]
    return new_notebook(cells=[new_code_cell(outputs=shown)])


def words(text: str) -> str:
    return " ".join(text.split())


@settings(max_examples=6, deadline=None)
@given(TEXTS)
def test_any_text_is_shown_letter_by_letter(texts: list[str]) -> None:
    escaped = [escape_markdown(text) for text in texts]
    cells = pd.DataFrame({"a": escaped, "b": list(map(code_markdown, texts))})
    table = cells.to_markdown(index=False, disable_numparse=True)
    notebook = notebook_of(*(f"**{text}**." for text in escaped), table)
    head = {"title": escaped[0], "author": escaped, "abstract": "\n\n".join(escaped) + "\n"}
    html = document.to_page(notebook, head, SOURCES)
    plain = Structure(document.to_page(notebook_of("a", "| a |\n|---|\n| b |"), head, SOURCES))
    found = Structure(html)
    allowed = {tag for tag, _ in plain.tags} | {"strong", "code"}
    assert {tag for tag, _ in found.tags} <= allowed
    shown = words(found.text)
    for text in texts:
        assert shown.count(words(one_line(text))) >= 4  # author, abstract, output and table
    citations = with_citations(notebook, SOURCES)
    assert citations == notebook


@settings(max_examples=6, deadline=None)
@given(TEXTS)
def test_typst_sets_any_text(texts: list[str]) -> None:
    escaped = [escape_markdown(text) for text in texts]
    notebook = notebook_of(*escaped, *map(code_markdown, texts))
    head = {"title": escaped[0], "author": escaped, "abstract": "\n\n".join(escaped) + "\n"}
    options = ["--to=typst", f"--template={SOURCES / 'page.typ'}"]
    text = document._convert_notebook(notebook, options, head, SOURCES)
    assert typst.query(text.encode(), "link") == "[]"
    assert json.loads(typst.query(text.encode(), "raw", field="text")) == list(map(one_line, texts))


@given(TEXTS)
@settings(max_examples=20, deadline=None)
def test_figures_show_any_text(texts: list[str]) -> None:
    with house_style():
        figure = Figure(figsize=(3, 1))
        for text in texts:
            figure.text(0.1, 0.5, one_line(text))
        found = Structure(to_svg(figure))
    for text in texts:
        assert words(one_line(text)) in words(found.text)


@pytest.fixture
def hostile_study(make_study) -> Path:
    """A study whose names of all kinds are markup."""
    folder = make_study({"vae": (30.0, 0.4), "conditional-vae": (20.0, 0.3)}, classes=HOSTILE)
    study = read_yaml(folder / "study.yaml")
    study |= {"title": HOSTILE[0], "question": HOSTILE[5], "authors": [{"name": HOSTILE[6]}]}
    (folder / "study.yaml").write_text(json.dumps(study))
    for name in ("vae", "conditional-vae"):
        path = folder / name / "config.yaml"
        text = re.sub(r"dataset: \w+", f"dataset: {json.dumps(HOSTILE[1])}", path.read_text())
        path.write_text(text.replace("condition: class", f"condition: [{json.dumps(HOSTILE[9])}]"))
        data = json.loads((folder / name / LATENT_FACTS).read_text())["data"]
        attributes = [{"name": each, "train": 0.5, "test": 0.4} for each in HOSTILE]
        data |= {"name": HOSTILE[1], "attributes": attributes}
        change(folder / name / LATENT_FACTS, data=data)
        change_record(
            folder / name / PROVENANCE, processor=HOSTILE[2], command=f"train {HOSTILE[3]}"
        )
    return folder


@pytest.fixture
def chapters(monkeypatch) -> Any:
    """Return what the cells of all chapters show, run in this process."""

    def run(results: Path) -> list[Any]:
        cells: list[Any] = []

        def show(data: dict[str, Any], *, raw: bool, metadata: dict[str, Any]) -> None:
            assert raw
            cells[-1].outputs.append(new_output("display_data", data, metadata=metadata))

        monkeypatch.setattr(page, "display", show)
        found = []
        for chapter in ("glance", "data", "training", "latent", "comparison"):
            cells.clear()
            names: dict[str, Any] = {}
            for cell in nbformat.read(SOURCES / f"{chapter}.ipynb", as_version=4).cells:
                if cell.cell_type == "code":
                    cells.append(new_code_cell())
                    exec(cell.source.replace("../results/demo", str(results)), names)
            found.append(new_notebook(cells=list(cells)))
        return found

    return run


def test_hostile_names_change_nothing_but_words(hostile_study, chapters):
    from latentbench.report.comparison import headline
    from latentbench.results import open_study

    whole = document.join_chapters(chapters(hostile_study))
    head = headline.head(open_study(hostile_study))
    found = Structure(document.to_page(whole, head, SOURCES))
    *figures, script = found.scripts
    assert script == (SOURCES / "interactive.js").read_text(encoding="utf-8")
    for figure in figures:
        json.loads(figure)
    types = [attributes.get("type") for tag, attributes in found.tags if tag == "script"]
    assert types == ["application/json"] * len(figures) + [None]
    for tag, attributes in found.tags:
        assert tag not in {"iframe", "object", "embed", "base", "form", "math"}
        for key, value in attributes.items():
            assert not key.startswith("on")
            if key in {"src", "href", "xlink:href"}:
                assert re.match(
                    "#|data:|https://(doi|arxiv|openreview|www|proceedings)", value or ""
                )
                assert (value or "").startswith("data:image/") or "evil" not in (value or "")
    shown = words(found.text)
    for name in HOSTILE:
        assert words(one_line(name)) in shown
    assert document.to_pdf(whole, head, SOURCES).startswith(b"%PDF")


def test_settings_of_the_user_change_no_figure(tmp_path, monkeypatch):
    def drawn() -> str:
        with house_style():
            axes = Figure(figsize=(3, 2)).subplots()
            axes.plot([1, 2, 3])
            axes.set_title("a")
            return to_svg(axes.figure)

    plain = drawn()
    mine = {"figure.dpi": 300, "xtick.labelsize": 20, "lines.linestyle": ":", "text.usetex": True}
    with matplotlib.rc_context(mine | {"savefig.bbox": "tight"}):
        assert drawn() == plain
        assert matplotlib.rcParams["xtick.labelsize"] == 20


def test_logarithmic_plots_of_a_frame_have_plain_numbers(monkeypatch):
    shown: list[str] = []
    monkeypatch.setattr(page, "_display", lambda _, content, **__: shown.append(content))
    own = page.Page()
    own.figure("a", pd.DataFrame({"a": [1, 10, 1000]}).plot(logy=True), "Caption.")
    assert "mathdefault" not in shown[0]
    assert ">1000<" in shown[0]


@pytest.mark.parametrize(
    ("author", "missing"), [("Ada", ""), ("𝛽 Ω", ""), ("\U0010fffd", r"\U0010fffd")]
)
def test_characters_without_a_font_are_named(monkeypatch, author, missing):
    logged: list[str] = []
    monkeypatch.setattr(document, "log", logged.append)
    head = {"title": "A", "author": [author]}
    assert document.to_pdf(notebook_of("# A"), head, SOURCES).startswith(b"%PDF")
    assert len(logged) == bool(missing)
    assert missing in "".join(logged)
