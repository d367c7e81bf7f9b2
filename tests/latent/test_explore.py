"""The files of `explore` for each kind of model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from latentbench.artifacts.files import file_sha256, read_manifest, write_manifest
from latentbench.config.models import MODELS
from latentbench.data.images import to_model
from latentbench.data.prepared import PreparedDataset
from latentbench.evaluation.metrics.image_quality import (
    mean_squared_errors,
    peak_signal_to_noise,
    structural_similarities,
)
from latentbench.latent.realism import Realism
from latentbench.models.autoencoder import Autoencoder, EncoderDecoder
from latentbench.models.gan import GAN
from tests.evaluation.conftest import forget_classes, run
from tests.latent.conftest import give_attributes

Make = Callable[..., Path]
Explore = Callable[..., Any]
IMAGE = (32, 32, 1)


@pytest.mark.parametrize("objective", MODELS)
def test_findings_of_every_model(objective: str, explore: Explore) -> None:
    arrays, facts, _ = explore(objective)
    encodes, conditional = MODELS[objective].has_encoder, objective == "cgan"
    shapes = {name: array.shape for name, array in arrays.items()}
    dims = 1024 if objective == "diffusion" else 6
    means = 4 if conditional else 5 if encodes else 1
    expected = {
        "data_samples": (4, 8, *IMAGE),
        "data_means": (4, *IMAGE),
        "samples": (6, *IMAGE),
        "truncated": (4, 10, *IMAGE),
        "means": (means, *IMAGE),
        "reconstruction_real": (3, *IMAGE),
        "reconstruction_decoded": (3, *IMAGE),
        "scaled_real": (6, *IMAGE),
        "scaled": (6, 8, *IMAGE),
        "interpolation_real": (2, 2, *IMAGE),
        "noise_latent": (5, 4 if conditional else 10, *IMAGE),
        "principal_directions": (min(dims, 10), dims),
        "principal_mean": (dims,),
    }
    for extreme in ("best", "worst"):
        expected |= {f"{extreme}_{kind}": (6, *IMAGE) for kind in ("real", "decoded")} | {
            f"{extreme}_errors": (6,)
        }
    for measure in ("mse", "psnr", "ssim"):
        expected |= {f"train_{measure}": (40,), f"test_{measure}": (20,)}
    for path in ("linear", "spherical"):
        name = f"interpolation_{path}"
        expected |= {name: (2, 4, *IMAGE), f"{name}_distance": (2, 4), f"{name}_classes": (2, 4, 4)}
    if encodes:
        expected |= {
            "projection_pca": (20, 2),
            "projection_tsne": (20, 2),
            "projection_labels": (20,),
            "projection_rows": (20,),
        }
        if objective == "diffusion":  # its latents are noise of N(0, I)
            expected["ode_error"] = (8, 5)
            paths = {f"denoising_{kind}": (3, 3, *IMAGE) for kind in ("states", "estimates")}
            expected |= paths
        else:
            expected["variance_per_dimension"] = (dims,)
            expected["samples_standard"] = (6, *IMAGE)
        expected |= {"kl_per_dimension": (6,)} if objective == "vae" else {}
    else:
        expected |= {"inversion_error": (20, 4)}
    if conditional:
        expected |= {"noise_embedding": (5, 4, *IMAGE), "random_embedding": (8, 10, *IMAGE)}
    assert shapes == expected
    method = "ODE" if objective == "diffusion" else "encoding" if encodes else "inversion"
    assert facts["method"] == method
    assert ("active_units" in facts) == (method == "encoding")
    assert facts["class_names"] == ["a", "b", "c", "d"]
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_embeddings_of_conditional_batch_norm_may_have_more_entries_than_latents(
    explore: Explore,
) -> None:
    """Scales and shifts of 512 and 256 units."""
    model = {"conditional_batch_norm": True, "projection_discriminator": True}
    arrays, facts, _ = explore("cgan", model=model)
    assert arrays["noise_embedding"].shape == (5, 4, *IMAGE)
    assert all(row["distance"] > 0 for row in facts["random_embeddings"])


def test_findings_of_a_conditional_diffusion_model(make_prepared: Make, explore: Explore) -> None:
    data = make_prepared(num_train=300, num_test=200)
    model = {"condition": "class", "guidance": 2.0, "churn": 1.0, "sampling_steps": 1}
    latent = {"num_encoded": 200, "num_projected": 100}
    arrays, facts, _ = explore("diffusion", data, model=model, latent=latent)
    assert arrays["means"].shape == (4, *IMAGE)
    assert arrays["noise_embedding"].shape == (5, 4, *IMAGE)
    assert arrays["random_embedding"].shape == (8, 10, *IMAGE)
    # A tenth of the images is encoded, but no fewer than 16.
    assert facts["reconstruction"]["train"]["num_images"] == 20
    assert len(arrays["projection_pca"]) == 16
    # Noise on the way, which is other noise in either direction, is left out: the untrained
    # velocity is 0.
    np.testing.assert_allclose(arrays["ode_error"], 0, atol=1e-12)
    assert facts["ode_steps"] == [2, 5, 10, 20, 40]


def test_latents_are_drawn_from_the_prior_of_the_model(explore: Explore) -> None:
    """The noise is the same; N(0, I) has the same samples whether or not it is the own prior."""
    fitted, facts, _ = explore("vae")
    standard, standard_facts, _ = explore("vae", model={"prior": "standard"})
    assert "samples_standard" not in standard
    assert np.array_equal(fitted["samples_standard"], standard["samples"])
    for name in ("samples", "truncated", "noise_latent"):
        assert not np.array_equal(fitted[name], standard[name]), name
    assert np.array_equal(fitted["reconstruction_decoded"], standard["reconstruction_decoded"])
    # The variances are 2² and 0.5², the means 1 and -2, the weights 1/4 and 3/4.
    assert facts["sigma_unit"] == pytest.approx((1.0 + 0.1875 + 3**2 * 0.1875) ** 0.5, rel=1e-6)
    assert standard_facts["sigma_unit"] == 1


def test_facts_agree_with_arrays(explore: Explore) -> None:
    arrays, facts, _ = explore("vae", latent={"num_reconstructions": 20})
    errors = mean_squared_errors(arrays["reconstruction_real"], arrays["reconstruction_decoded"])
    test = facts["reconstruction"]["test"]
    assert test["num_images"] == 20
    assert test["mse"] == pytest.approx(errors.mean())
    assert test["psnr"] == pytest.approx(peak_signal_to_noise(errors).mean())
    similarity = structural_similarities(
        arrays["reconstruction_real"], arrays["reconstruction_decoded"]
    )
    assert test["ssim"] == pytest.approx(similarity.mean())
    assert facts["reconstruction"]["train"]["num_images"] == 40
    np.testing.assert_array_equal(arrays["test_mse"], errors)
    assert facts["reconstruction"]["train"]["mse"] == pytest.approx(arrays["train_mse"].mean())
    np.testing.assert_array_equal(np.sort(errors)[:6], arrays["best_errors"])
    np.testing.assert_array_equal(np.sort(errors)[::-1][:6], arrays["worst_errors"])
    assert np.allclose(arrays["interpolation_linear_classes"].sum(axis=-1), 1, atol=1e-5)
    assert facts["active_units"] == (arrays["variance_per_dimension"] > 0.01).sum()


def test_exploring_twice_gives_the_same_files(
    make_prepared: Make, build_reference: Make, make_experiment: Make
) -> None:
    data = make_prepared()
    results = make_experiment(data, "vae")
    places = {
        "config": results / "config.yaml",
        "data": data,
        "reference": build_reference(data, epochs=1),
    }
    digests = []
    for _ in range(2):
        assert run("explore", **places, results=results).exit_code == 0
        digests.append({path.name: file_sha256(path) for path in (results / "latent").iterdir()})
    assert digests[0] == digests[1]
    assert {
        "arrays.npz",
        "interactive.npz",
        "explore.json",
        "samples.png",
        "reconstruction.png",
        "interpolation.png",
    } == set(digests[0])


def test_paths_lie_within_classes_and_between_them(explore: Explore) -> None:
    _, facts, _ = explore("autoencoder", latent={"num_pairs": 6})
    pairs = facts["pairs"]
    assert [pair["from"] == pair["to"] for pair in pairs] == [True] * 3 + [False] * 3


def test_errors_of_paths_agree_with_arrays(explore: Explore) -> None:
    arrays, facts, _ = explore("vae", latent={"num_points": 5})
    assert len(facts["pairs"]) == len(arrays["interpolation_real"]) == 2
    for place, pair in enumerate(facts["pairs"]):
        ends = arrays["interpolation_linear"][place, [0, -1]]
        errors = (ends / 255.0 - arrays["interpolation_real"][place] / 255.0) ** 2
        assert pair["mse"] == pytest.approx(errors.mean())
        linear = arrays["interpolation_linear_distance"][place]
        assert pair["ends"] == pytest.approx((linear[0] + linear[4]) / 2)
        for kind in ("linear", "spherical"):
            path = arrays[f"interpolation_{kind}_distance"][place]
            assert pair[kind] == pytest.approx({"middle": path[2], "farthest": max(path)})


def test_ends_of_a_model_that_reconstructs_perfectly(
    make_prepared: Make, explore: Explore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A code is the number of a test image; codes between two numbers decode to a negative."""
    data = make_prepared()
    test = to_model(torch.from_numpy(np.array(PreparedDataset.open(data).images("test"))))

    def encode(self: Autoencoder, images: Tensor, labels: Tensor) -> Tensor:
        codes = torch.zeros(len(images), 6)
        codes[:, 0] = torch.cdist(images.flatten(1), test.flatten(1)).argmin(dim=1)
        return codes

    def decode(self: Autoencoder, latents: Tensor, labels: Tensor) -> Tensor:
        rows = latents[:, 0].round().long().clamp(0, len(test) - 1)
        is_code = (latents[:, 0] - rows).abs() < 1e-4
        return torch.where(is_code[:, None, None, None], test[rows], -test[rows])

    monkeypatch.setattr(Autoencoder, "encode", encode)
    monkeypatch.setattr(Autoencoder, "decode", decode)
    arrays, facts, _ = explore("autoencoder", data, latent={"num_pairs": 6, "num_points": 4})
    ends = arrays["interpolation_linear"][:, [0, -1]]
    np.testing.assert_array_equal(ends, arrays["interpolation_real"])
    pairs = facts["pairs"]
    assert [pair["mse"] for pair in pairs] == [0] * len(pairs)
    middle = np.mean([pair["linear"]["middle"] for pair in pairs])
    assert middle > 1.5 * np.mean([pair["ends"] for pair in pairs])


def test_without_classes_there_are_fewer_findings(make_prepared: Make, explore: Explore) -> None:
    arrays, facts, _ = explore("vae", forget_classes(make_prepared()))
    assert not any(name.endswith("_classes") for name in arrays)
    assert facts["class_names"] == []
    assert facts["means"] == ["zero vector"]
    assert [(pair["from"], pair["to"]) for pair in facts["pairs"]] == [("", "")] * 2
    assert (arrays["projection_labels"] == -1).all()


def test_a_small_dataset_has_fewer_interpolations(explore: Explore) -> None:
    arrays, _, result = explore("vae", latent={"num_pairs": 11})
    assert "only 20 test images" in result.output
    assert len(arrays["interpolation_linear"]) <= 11


def test_a_reference_of_other_data_is_refused(
    make_prepared: Make, build_reference: Make, make_experiment: Make
) -> None:
    data = make_prepared()
    results, reference = make_experiment(data, "vae"), build_reference(data, epochs=1)
    manifest = read_manifest(reference / "reference.json")
    write_manifest(reference / "reference.json", manifest | {"data_digest": "0" * 64})
    result = run(
        "explore", config=results / "config.yaml", data=data, reference=reference, results=results
    )
    assert result.exit_code == 1
    assert "another version of squares" in result.output


def test_random_embeddings_of_attributes(
    make_prepared: Make, explore: Explore, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = give_attributes(make_prepared(num_train=120, num_test=40))
    low = to_model(torch.from_numpy(np.array(PreparedDataset.open(data).images("test")[2:3])))
    monkeypatch.setattr(
        EncoderDecoder, "decode", lambda self, latents, labels: low.expand(len(latents), -1, -1, -1)
    )
    monkeypatch.setattr(
        Realism,
        "predict_attributes",
        # Coin, low and rare.
        lambda self, images: np.broadcast_to([False, True, False], (*images.shape[:-3], 3)),
    )
    _, facts, _ = explore("vae", data, model={"condition": ["rare", "low"]})
    assert [fact["predicted"] for fact in facts["random_embeddings"]] == 8 * [{"low": 1.0}]
    nearest = [fact["nearest"] for fact in facts["random_embeddings"]]
    assert facts["embedding_agreement"] == nearest.count("low") / 8


def test_directions_of_encoded_images(make_prepared: Make, explore: Explore) -> None:
    """A low position can be predicted from any code, a random attribute from none."""
    data = give_attributes(make_prepared(num_train=200, num_test=80))
    arrays, facts, _ = explore("autoencoder", data)
    assert [found["attribute"] for found in facts["directions"]] == ["low", "coin"]
    low, coin = (found["accuracy"] for found in facts["directions"])
    assert low > 0.85
    assert coin < 0.7
    assert arrays["directions"].shape == (2, 4, 7, *IMAGE)
    for found in facts["directions"]:
        assert found["num_images"] == 80
        assert list(found["predicted"]) == ["coin", "low", "rare"]
        assert all(
            len(shares) == 7 and 0 <= min(shares) <= max(shares) <= 1
            for shares in found["predicted"].values()
        )


def test_directions_of_samples_without_an_encoder(
    make_prepared: Make, explore: Explore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GAN that draws a low square where its fourth latent is positive."""
    data = give_attributes(make_prepared(num_train=200, num_test=80))
    high, low = to_model(
        torch.from_numpy(np.array(PreparedDataset.open(data).images("test")[:3:2]))
    )

    def decode(self: GAN, latents: Tensor, labels: Tensor) -> Tensor:
        # With a gradient of zero, for the inversion.
        return torch.where(latents[:, 3, None, None, None] > 0, low, high) + 0 * latents.sum()

    monkeypatch.setattr(GAN, "decode", decode)
    arrays, facts, _ = explore("dcgan", data, {"epochs": 6, "learning_rate": 1e-2})
    [low_direction] = [found for found in facts["directions"] if found["attribute"] == "low"]
    assert facts["directions_source"] == "samples"
    assert low_direction["accuracy"] > 0.97
    assert [low_direction["predicted"]["low"][step] for step in (0, -1)] == [0, 1]
    assert low_direction["predicted"]["low"][3] == pytest.approx(0.5, abs=0.15)
    assert arrays["directions"].shape[1:] == (4, 7, *IMAGE)


def test_predicted_attributes_along_a_direction(
    make_prepared: Make, explore: Explore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first dimension is the position of a square; decoded images are real ones."""
    data = give_attributes(make_prepared(num_train=200, num_test=80))
    test = to_model(torch.from_numpy(np.array(PreparedDataset.open(data).images("test"))))

    def encode(self: Autoencoder, images: Tensor, labels: Tensor) -> Tensor:
        codes = torch.zeros(len(images), 6)
        codes[:, 0] = images[:, :, 16:].mean(dim=(1, 2, 3)) - images[:, :, :16].mean(dim=(1, 2, 3))
        return codes

    def decode(self: Autoencoder, latents: Tensor, labels: Tensor) -> Tensor:
        return test[torch.where(latents[:, 0] > 0, 2, 0)]

    monkeypatch.setattr(Autoencoder, "encode", encode)
    monkeypatch.setattr(Autoencoder, "decode", decode)
    _, facts, _ = explore("autoencoder", data, {"epochs": 6, "learning_rate": 1e-2})
    [low] = [found for found in facts["directions"] if found["attribute"] == "low"]
    assert low["predicted"]["low"][0] == 0
    assert low["predicted"]["low"][3] == 0.5
    assert low["predicted"]["low"][-1] == 1
