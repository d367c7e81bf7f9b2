"""Views: the same noise for every model, and lines of Python that make the same pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

import latentbench as lb
from latentbench.app.explorer import Explorer, Picture, open_explorers
from latentbench.app.progress import Cancelled, Inversions
from latentbench.app.uploads import read_upload
from latentbench.app.views import directions
from latentbench.app.views.code_map import mapped_models, series
from latentbench.app.views.directions import Directions
from latentbench.app.views.paths import METHODS, NUM_POINTS, Paths
from latentbench.app.views.reconstruction import Reconstruction
from latentbench.app.views.samples import Samples
from latentbench.errors import ArtifactError

NAMES = ["vae", "dcgan", "cgan"]
LABELS = {"b": 0.25, "c": 0.75}


def run_script(script: str) -> None:
    assert max(map(len, script.splitlines())) <= 100
    exec(compile(script, "script", "exec"), {})


def pixels(picture: Image.Image | str) -> np.ndarray:
    with Image.open(picture) if isinstance(picture, str) else picture as image:
        return np.asarray(image)


def frames_of(path: str) -> list[np.ndarray]:
    with Image.open(path) as animation:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(animation)]


def upload(name: str = "photo of 'me'.png") -> Picture:
    """Write a picture into the working directory and upload it."""
    levels = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(levels).save(content, format="png")
    Path(name).write_bytes(content.getvalue())
    [explorer] = open_explorers(Path("results/tiny"), Path("data/prepared")).values()
    return read_upload(name, content.getvalue(), explorer.spec)


@pytest.mark.parametrize(
    "view",
    [
        Samples(),
        Samples(number=8, seed=3, truncation=0.5, prior="standard"),
        Samples(number=32, labels=LABELS),
    ],
)
def test_lines_of_samples(explorer: Explorer, view: Samples) -> None:
    for names in (NAMES, ["cgan"], ["dcgan"]):
        images = view.render(explorer, names)
        assert [len(found) for found in images.values()] == [view.number] * len(names)
        run_script(view.script(explorer, names))
        expected = pixels(view.picture(explorer, images))
        np.testing.assert_array_equal(pixels("samples.png"), expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": 5},
        {"start": "mean", "principal": {0: 1.5, 3: -2.0}, "labels": LABELS},
        {"attributes": {"low": 2.0}, "dimensions": {0: -1.0, 8: 3.0}},
        {"principal": {1: 0.5}, "moving": ("principal", 1)},
        {"dimensions": {2: 0.5}, "moving": ("attributes", "coin")},
        {"start": "mean", "moving": ("dimensions", 7)},
    ],
)
def test_lines_of_directions(
    explorer: Explorer, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directions, "NUM_FRAMES", 3)
    view = Directions(**settings)
    images = view.render(explorer, NAMES)
    run_script(view.script(explorer, NAMES))
    np.testing.assert_array_equal(pixels("latent.png"), pixels(view.picture_of(explorer, images)))
    if view.moving is not None:
        expected = view.frames(explorer, NAMES)
        expected[0].save("app.gif", save_all=True, append_images=expected[1:], duration=80, loop=0)
        np.testing.assert_array_equal(frames_of("latent.gif"), frames_of("app.gif"))


@pytest.mark.parametrize("uploaded", [False, True])
def test_lines_of_views_with_pictures(explorer: Explorer, uploaded: bool) -> None:
    picture = upload() if uploaded else explorer.test_picture(3)
    start = Directions(picture=picture, principal={0: 1.0}, labels=LABELS)
    paths = Paths(picture, explorer.test_picture(6), LABELS)
    reconstruction = Reconstruction(picture, LABELS)
    for view, file, draw in (
        (start, "latent.png", start.picture_of),
        (paths, "paths.png", paths.picture),
        (reconstruction, "reconstruction.png", reconstruction.picture_of),
    ):
        images = view.render(explorer, NAMES)
        assert list(images) == NAMES
        run_script(view.script(explorer, NAMES))
        np.testing.assert_array_equal(pixels(file), pixels(draw(explorer, images)), err_msg=file)
    expected = paths.frames(explorer, paths.render(explorer, NAMES))
    expected[0].save("app.gif", save_all=True, append_images=expected[1:], duration=60, loop=0)
    np.testing.assert_array_equal(frames_of("paths.gif"), frames_of("app.gif"))


def test_a_diffusion_model_is_shown_as_any_model_with_an_encoder(
    make_study: Callable[..., Path],
) -> None:
    make_study(("diffusion",), model={"sampling_steps": 1})
    [explorer] = open_explorers(Path("results/tiny"), Path("data/prepared"), device="cpu").values()
    names, picture = ["diffusion"], explorer.test_picture(3)
    moved = Directions(picture=picture, principal={0: 1.0}, dimensions={1023: 2.0})
    paths = Paths(picture, explorer.test_picture(6))
    for view, file, draw in (
        (moved, "latent.png", moved.picture_of),
        (paths, "paths.png", paths.picture),
    ):
        images = view.render(explorer, names)
        run_script(view.script(explorer, names))
        np.testing.assert_array_equal(pixels(file), pixels(draw(explorer, images)), err_msg=file)
    assert explorer.is_known("diffusion", picture, None)


def test_models_of_other_dimensions_share_the_leading_noise(explorer: Explorer) -> None:
    latents = {name: explorer.models[name].latents(4, seed=2, prior="standard") for name in NAMES}
    assert latents["dcgan"].shape[1] == 9
    np.testing.assert_array_equal(latents["vae"], latents["dcgan"][:, :6])
    np.testing.assert_array_equal(latents["vae"], latents["cgan"])


def test_a_picture_is_decoded_under_other_labels_than_its_own(explorer: Explorer) -> None:
    picture = explorer.test_picture(2)
    view = Directions(picture=picture, labels={"a": 1.0})
    latents = explorer.find_latents("cgan", picture)
    expected = explorer.models["cgan"].decode(latents, labels="a")
    np.testing.assert_array_equal(view.render(explorer, ["cgan"])["cgan"], expected)
    np.testing.assert_array_equal(
        latents, explorer.models["cgan"].invert(picture.image, labels="c", progress=False)
    )


def test_directions_move_latents_by_standard_deviations(explorer: Explorer) -> None:
    start = Directions().latents(explorer, "vae")
    arrays = explorer.arrays("vae")
    moved = Directions(dimensions={1: 2.0}).latents(explorer, "vae") - start
    expected = np.zeros(6)
    expected[1] = 2 * arrays["variance_per_dimension"][1] ** 0.5
    np.testing.assert_allclose(moved[0], expected, atol=1e-6)
    moved = Directions(attributes={"low": -1.5}).latents(explorer, "dcgan")
    moved -= Directions().latents(explorer, "dcgan")
    # "low" is the first of the dcgan's directions and the second of the vae's.
    expected = -1.5 * explorer.arrays("dcgan")["attribute_directions"][0]
    np.testing.assert_allclose(moved[0], expected, atol=1e-6)


def test_labels_mix_continuously(explorer: Explorer) -> None:
    model = explorer.models["cgan"]
    images = []
    for weight in (0.0, 0.5, 1.0):
        labels = {"a": 1 - weight, "d": weight}
        images.append(Directions(labels=labels).render(explorer, ["cgan"])["cgan"])
    latents = model.latents(1, seed=0)
    np.testing.assert_array_equal(images[0], model.decode(latents, labels="a"))
    np.testing.assert_array_equal(images[2], model.decode(latents, labels="d"))
    mixed = np.array([[0.5, 0, 0, 0.5]], np.float32)
    np.testing.assert_array_equal(images[1], model.decode(latents, labels=mixed))


def test_paths_join_the_latents_of_both_pictures(explorer: Explorer) -> None:
    view = Paths(explorer.test_picture(0), explorer.test_picture(5))
    images = view.render(explorer, NAMES)
    for name in NAMES:
        assert images[name].shape[:2] == (len(METHODS), NUM_POINTS)
        for row, place in ((0, 0), (5, -1)):
            end = Reconstruction(explorer.test_picture(row)).render(explorer, [name])[name][0]
            for path in images[name]:
                # The ends are decoded in a batch of another size.
                assert np.abs(path[place].astype(int) - end).max() <= 1


def test_scores_of_reconstructions(explorer: Explorer) -> None:
    view = Reconstruction(explorer.test_picture(1))
    images = view.render(explorer, NAMES) | {"copy": view.picture.image[None]}
    scores = view.scores(images)
    assert list(scores.index) == [*NAMES, "copy"]
    assert scores.loc["copy", "mse"] == 0
    assert scores.loc["copy", "ssim"] == pytest.approx(1)
    error = (images["vae"] / 255.0 - view.picture.image / 255.0) ** 2
    assert scores.loc["vae", "mse"] == pytest.approx(error.mean())
    assert scores.loc["vae", "psnr"] == pytest.approx(-10 * np.log10(error.mean()))


def test_points_of_the_map_lead_to_their_test_images(explorer: Explorer) -> None:
    assert mapped_models(explorer, NAMES) == ["vae"]
    found = series(explorer, "vae", "pca")
    assert [title for title, _ in found] == ["a", "b", "c", "d"]
    rows = [row for _, points in found for _, _, row in points]
    assert sorted(rows) == list(range(20))
    arrays = explorer.arrays("vae")
    x, y, row = found[2][1][0]
    [place] = np.flatnonzero(arrays["projection_rows"] == row)
    assert [x, y] == pytest.approx(arrays["projection_pca"][place], abs=1e-3)


def test_a_test_image_has_its_class_and_attributes(explorer: Explorer) -> None:
    data = lb.open_dataset("data/prepared/squares")
    picture = explorer.test_picture(6)
    np.testing.assert_array_equal(picture.image, data.images("test")[6])
    present = np.array(data.attribute_names)[data.attributes("test")[6] == 1]
    assert set(picture.labels or ()) == {"c", *present}
    # A model gets those labels that it knows.
    assert explorer.some_labels("cgan", picture.labels) == {"c": 1.0}
    assert explorer.some_labels("vae", picture.labels) is None


def test_an_inversion_counts_its_steps_and_can_be_cancelled(explorer: Explorer) -> None:
    picture = explorer.test_picture(2)
    assert explorer.is_known("vae", picture, None)
    assert not explorer.is_known("dcgan", picture, None)
    running = Inversions(3)
    found = explorer.find_latents("dcgan", picture, running=running)
    assert running.fraction == 1
    assert explorer.is_known("dcgan", picture, None)
    # At hand the second time.
    assert explorer.find_latents("dcgan", picture, running=None) is found
    cancelled = Inversions(3)
    cancelled.cancel()
    with pytest.raises(Cancelled):
        explorer.find_latents("cgan", picture, running=cancelled)
    assert not explorer.is_known("cgan", picture, None)


def test_an_inversion_is_cancelled_from_another_thread(explorer: Explorer) -> None:
    running = Inversions(1_000_000)
    outcome = []

    def invert() -> None:
        try:
            for _ in running.track(range(1_000_000_000)):
                pass
        except Cancelled:
            outcome.append("cancelled")

    thread = Thread(target=invert)
    thread.start()
    running.cancel()
    thread.join()
    assert outcome == ["cancelled"]


def test_models_without_a_checkpoint_are_noted(make_study: Callable[..., Path]) -> None:
    results = make_study(("vae", "dcgan"))
    for path in (results / "dcgan" / "checkpoints").iterdir():
        path.unlink()
    [explorer] = open_explorers(results, Path("data/prepared")).values()
    assert list(explorer.models) == ["vae"]
    assert any("dcgan" in note for note in explorer.notes)
    for path in (results / "vae" / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(ArtifactError, match="tiny"):
        open_explorers(results, Path("data/prepared"))


def test_without_data_and_exploration_samples_remain(make_study: Callable[..., Path]) -> None:
    results = make_study(("vae", "dcgan"))
    for name in ("vae", "dcgan"):
        for path in (results / name / "latent").iterdir():
            path.unlink()
    [explorer] = open_explorers(results, Path("elsewhere")).values()
    assert explorer.num_test == 0
    assert len(explorer.notes) == 3
    names: Sequence[str] = list(explorer.models)
    assert set(Samples().render(explorer, names)) == {"vae", "dcgan"}
    moved = Directions(principal={0: 3.0}, dimensions={0: 1.0}, start="mean")
    assert set(moved.render(explorer, names)) == {"vae", "dcgan"}
    run_script(moved.script(explorer, names))
    assert mapped_models(explorer, names) == []
