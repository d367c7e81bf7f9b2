"""The first sentences of a report follow the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from latentbench import open_study
from latentbench.artifacts.files import (
    read_arrays,
    read_csv,
    write_arrays,
    write_csv,
    write_yaml,
)
from latentbench.artifacts.metrics import METRICS
from latentbench.artifacts.paths import LAST_METRICS, LATENT_ARRAYS
from latentbench.config.load import read_yaml
from latentbench.report.comparison import captions, headline
from latentbench.results import ranking, tables
from tests.report.conftest import change, make_repeats, make_trainings, repeat_training


def describe(folder) -> str:
    study = open_study(folder)
    text = "\n\n".join([headline.answer(study), headline.describe(study)])
    return text.replace("\N{NO-BREAK SPACE}", " ")


def set_metric(folder, name: str, **values: str) -> None:
    """Replace columns of an experiment's metrics.csv."""
    path = folder / name / "metrics.csv"
    rows = [row | values for row in read_csv(path)]
    write_csv(path, rows, columns=list(rows[0]))


@pytest.mark.parametrize(("vae", "dcgan", "best"), [(10.0, 20.0, "vae"), (20.0, 10.0, "dcgan")])
def test_single_trainings_have_an_order_but_no_best_model(make_study, vae, dcgan, best):
    folder = make_study({"vae": (vae, 0.1), "dcgan": (dcgan, 0.1), "wgan-gp": (30.0, 0.1)})
    text = describe(folder).partition("\n")[0]
    second = "dcgan" if best == "vae" else "vae"
    assert f"In these trainings, {best} has the lowest FD (classifier): 10.0 ± 0.1" in text
    assert f"10.0 (50 %) below {second} (20.0 ± 0.1)" in text
    assert "trained once" in text
    assert "best" not in describe(folder)
    assert "p =" not in text
    assert "**" not in text


def test_repeated_trainings_are_tested(make_study):
    folder = make_trainings(make_study, vae=[11.0, 11.2, 10.8], dcgan=[21.0, 21.2, 20.8])
    text = describe(folder)
    # Means of 11 and 21 with standard deviations of 0.2: √(0.04 / 3 + 0.04 / 3) = 0.163, and the
    # quantile of t with 2 degrees of freedom is 4.303.
    assert "**vae (3 seeds)** is best: 11.0 ± 0.2 against 21.0 ± 0.2 of dcgan (3 seeds)" in text
    assert "10.0 (48 %), 95 % CI 9.3 to 10.7, p < 0.001, with 3 trainings each" in text
    assert "trained once" not in text


def test_the_correction_counts_all_pairs_of_a_study(make_study):
    scores = {"vae": [10.0, 10.2], "dcgan": [20.0, 20.2], "wgan": [30.0, 30.2]}
    text = describe(make_trainings(make_study, **scores))
    # A difference of 10 with an error of √0.02 has p = 0.009 with 1 degree of freedom. It is the
    # second of three.
    assert "**vae (2 seeds)** is best" in text
    assert (
        f"p = {3 * stats.t.sf(20 / 0.02**0.5, 1) * 2:.3f} after Shaffer's correction over 3" in text
    )


def test_trainings_that_do_not_distinguish_models_make_none_best(make_study):
    scores = {"vae": [10.0, 11.0, 12.0], "dcgan": [11.5, 12.0, 11.0], "wgan": [90.0, 91.0, 90.5]}
    text = describe(make_trainings(make_study, **scores)).partition("\n")[0]
    assert "do not distinguish vae (3 seeds, 11.0 ± 1.0) and dcgan (3 seeds, 11.5 ± 0.5)" in text
    assert "differ by 0.5 (95 % CI" in text
    assert "Farther than vae (3 seeds): wgan-gp (3 seeds)." in text
    assert "is best" not in text
    assert "tied" not in text


def test_one_training_of_a_model_has_no_test(make_study):
    folder = make_study({"vae": (30.0, 0.1), "dcgan": (20.0, 0.1), "wgan-gp": (21.0, 0.1)})
    make_repeats(folder, "dcgan", "wgan-gp")
    text = describe(folder)
    # 20 and 21: mean 20.5, standard deviation 0.707.
    assert "In these trainings, dcgan (2 seeds) has the lowest" in text
    assert "20.5 ± 0.7, 9.5 (32 %) below vae (30.0 ± 0.1)" in text
    assert "vae was trained once" in text
    assert "wgan" not in text
    assert "p =" not in text.partition("\n")[0]


def test_trainings_that_do_not_vary_have_no_test(make_study):
    text = describe(make_trainings(make_study, vae=[10.0, 10.0], dcgan=[20.0, 20.0]))
    assert "do not vary" in text
    assert "is best" not in text


def test_a_single_set_of_samples_has_no_spread(make_study):
    text = describe(make_study({"vae": (10.0, None), "dcgan": (20.0, None)}))
    assert "10.0, 10.0 (50 %) below dcgan (20.0)" in text
    assert "±" not in text.partition("\n")[0]


def test_one_measured_model_is_not_called_best(make_study):
    text = describe(make_study({"vae": (10.0, 0.1)}))
    assert "vae" in text
    assert "10.0 ± 0.1" in text
    assert "best" not in text


def test_without_measurements_the_command_is_named(make_study):
    folder = make_study()
    for path in folder.glob("*/metrics.*"):
        path.unlink()
    assert "latentbench evaluate" in describe(folder)
    assert captions.protocol(open_study(folder)) == ""


def test_other_metrics_agree_or_disagree(make_study):
    folder = make_trainings(make_study, vae=[11.0, 11.2, 10.8], dcgan=[21.0, 21.2, 20.8])
    assert "KD (classifier) is also lowest for vae (3 seeds) (0.0110" in describe(folder)
    set_metric(folder, "vae", kd_classifier="0.03")
    assert "not distinguished from any other" in describe(folder)
    for name in ("dcgan", "dcgan_1", "dcgan_2"):
        set_metric(folder, name, kd_classifier=f"0.001{name[-1]}".replace("n", "0"))
    assert "KD (classifier) is lowest for dcgan (3 seeds) (0.0011" in describe(folder)


def test_where_fidelity_and_coverage_disagree_with_the_distance(make_study):
    folder = make_study({"vae": (10.0, 0.1), "dcgan": (20.0, 0.1)})
    assert "disagree" not in describe(folder)
    set_metric(folder, "vae", precision_classifier="0.01")
    text = describe(folder).partition("\n")[0]
    assert "dcgan is ahead in precision (0.050 against 0.010)" in text
    # Within twice the spread over sets of samples, √(0.0001² + 0.001²).
    set_metric(folder, "vae", precision_classifier="0.0485", precision_classifier_std="0.001")
    assert "disagree" not in describe(folder)


def test_differences_in_fidelity_are_tested_where_they_can_be(make_study):
    folder = make_trainings(make_study, vae=[11.0, 11.2, 10.8], dcgan=[21.0, 21.2, 20.8])
    precisions = {"vae": 0.1, "vae_1": 0.3, "vae_2": 0.2, "dcgan": 0.3, "dcgan_1": 0.4}
    for name, precision in (precisions | {"dcgan_2": 0.2}).items():
        set_metric(folder, name, precision_classifier=str(precision))
    assert "disagree" not in describe(folder)
    for name in ("vae", "vae_1", "vae_2"):
        set_metric(folder, name, precision_classifier=f"0.00{name[-1]}".replace("e", "0"))
    set_metric(folder, "dcgan_1", precision_classifier="0.31")
    set_metric(folder, "dcgan_2", precision_classifier="0.29")
    assert "dcgan (3 seeds) is ahead in precision (0.300 against " in describe(folder)


def test_autoencoders_are_not_ranked_by_distance(make_study):
    folder = make_study({"vae": (5.0, 0.1), "dcgan": (20.0, 0.1), "wgan-gp": (30.0, 0.1)})
    make_autoencoder(folder, "vae")
    text = describe(folder)
    assert "dcgan has the lowest FD (classifier)" in text.partition("\n")[0]
    assert "Distances do not rank vae" in text
    for name in ("dcgan", "wgan-gp"):
        make_autoencoder(folder, name)
    assert "No model that generates images" in describe(folder)


def make_autoencoder(folder, name: str) -> None:
    path = folder / name / "config.yaml"
    settings = read_yaml(path)
    model = settings["model"] | {"name": "autoencoder", "prior": "standard"}
    write_yaml(path, settings | {"model": model})


def set_errors(folder, **errors) -> None:
    """Replace the squared errors of test images."""
    for name, values in errors.items():
        path = folder / name / LATENT_ARRAYS
        write_arrays(path, read_arrays(path) | {"test_mse": values})


def test_reconstruction_errors_are_paired_over_images(make_study):
    folder = make_study({"vae": (10.0, 0.1), "dcgan": (20.0, 0.1)})
    assert "reconstructs" not in describe(folder)  # equal errors
    random = np.random.default_rng(0)
    hard = random.lognormal(-4, 1, 1000)
    set_errors(folder, vae=0.9 * hard, dcgan=hard[:64])
    text = describe(folder)
    assert "In these trainings, vae (by encoding) reconstructs test images best" in text
    assert "64 test images" in text
    result = stats.ttest_rel(hard[:64], 0.9 * hard[:64])
    assert f"p < {0.001}" in text
    assert result.pvalue < 0.001
    set_errors(folder, vae=hard * random.uniform(0.5, 1.48, 1000), dcgan=hard[:64])
    text = describe(folder)
    assert "not distinguished from" in text
    assert "reconstructs" not in text


def test_reconstructions_of_repeats_are_tested_over_trainings(make_study):
    folder = make_trainings(make_study, vae=[11.0, 11.2, 10.8], dcgan=[21.0, 21.2, 20.8])
    images = np.linspace(0.5, 1.5, 64)
    for place, name in enumerate(("", "_1", "_2")):
        own = {f"vae{name}": (1 + place / 100) * images, f"dcgan{name}": (2 + place / 9) * images}
        set_errors(folder, **own)
    text = describe(folder)
    assert "vae (3 seeds) (by encoding) reconstructs test images best" in text
    assert "3 trainings each" in text.partition("reconstructs")[2]
    assert "paired" not in text


def test_equal_time_counts_only_the_checkpoints_within_it(make_study):
    # wgan-gp is best after 80 s. After 40 s, when vae has ended, its checkpoint has 12 · 4/2 = 24.
    text = describe(make_study({"vae": (15.0, 0.1), "wgan-gp": (12.0, 0.1)}))
    assert "wgan-gp has the lowest" in text
    assert "(vae, 40 s), vae reached" in text
    assert "15.0 ± 0.1." in text
    text = describe(make_study({"vae": (25.0, 0.1), "wgan-gp": (12.0, 0.1)}))
    assert "wgan-gp reached" in text
    assert "24.0 ± 0.1." in text


def test_repeats_of_an_experiment_are_tested_and_reconstruct_once(make_study):
    folder = make_study({"vae": (10.0, 0.1), "dcgan": (20.0, 0.1)})
    repeat_training(folder, "vae", (10.2, 0.1), (9.8, 0.1))
    repeat_training(folder, "dcgan", (20.2, 0.1), (19.8, 0.1))
    images = np.random.default_rng(0).lognormal(-4, 1, 64)
    set_errors(folder, vae=0.9 * images, dcgan=images)
    text = describe(folder)
    assert "**vae (3 seeds)** is best" in text
    assert "with 3 trainings each" in text.partition("\n")[0]
    assert "In the first training of each model, vae (by encoding) reconstructs" in text
    assert "paired over 64 test images" in text


def test_a_model_of_which_a_training_diverged_is_not_ranked(make_study):
    folder = make_study({"vae": (10.0, 0.1), "dcgan": (20.0, 0.1)})
    repeat_training(folder, "vae", (11.0, 0.1), (12.0, 0.1))
    assert "vae (3 seeds) has the lowest" in describe(folder)
    set_metric(folder, "vae/repeats/2", fd_classifier="inf", kd_classifier="inf")
    text = describe(folder)
    assert "Only dcgan has been measured" in text
    assert "vae (3 seeds) was not ranked" in text


def test_models_of_equal_work_are_not_compared_in_time(make_study):
    folder = make_study({"dcgan": (10.0, 0.1), "wgan-gp": (20.0, 0.1)})
    assert "training time" in describe(folder)
    make_repeats(folder, "dcgan", "wgan-gp")
    path = folder / "wgan-gp" / "config.yaml"
    settings = read_yaml(path)
    write_yaml(path, settings | {"model": settings["model"] | {"learning_rate": 0.1}})
    assert "training time" not in describe(folder)


def test_a_first_look_has_no_best_model_in_bold(make_study):
    folder = make_trainings(make_study, vae=[11.0, 11.2, 10.8], dcgan=[21.0, 21.2, 20.8])
    assert "budget" not in headline.head(open_study(folder))
    assert "**" in describe(folder)
    study = folder / "study.yaml"
    study.write_text(study.read_text().replace("budget: full", "budget: small"))
    text = describe(folder)
    assert "in this run: 11.0" in text
    assert "**" not in text
    assert "first look" in headline.head(open_study(folder))["budget"]


def test_a_warning_of_several_models_appears_once(make_study):
    folder = make_study()
    for name in ("vae", "dcgan"):
        change(folder / name / "metrics.json", warnings=["few images: 5% of them."])
    text = describe(folder)
    assert text.count("**Warning**") == 1
    assert "(vae and dcgan): few images: 5 %" in text


def test_differences_are_those_of_the_printed_numbers(make_study):
    # Unrounded they differ by 1.02, which prints as 1.0.
    text = describe(make_study({"vae": (10.04, 0.1), "dcgan": (11.06, 0.1)}))
    assert "10.0 ± 0.1, 1.1 (10 %) below dcgan (11.1 ± 0.1)" in text


def test_what_a_classifier_adds_to_both_models_is_no_part_of_their_difference(make_study):
    folder = make_study({"vae": (20.0, 3.0), "dcgan": (22.0, 3.0)})
    [metric] = [metric for metric in METRICS if metric.key == "fd_classifier"]
    quantity = tables.distance(metric)

    def found():
        study = open_study(folder)
        order = ranking.rank(study, quantity, study.run_groups())
        return ranking.differ(*order, ranking.compare(order))

    assert not found()
    # Two sets of samples by three classifiers, which differ by 3 for both models.
    by_classifier = np.add.outer([-0.1, 0.1], [17.0, 20.0, 23.0])
    change(
        folder / "vae" / LAST_METRICS, values_by_network={"fd_classifier": by_classifier.tolist()}
    )
    assert not found()
    for shift, differs in ((2.0, True), (np.array([8.0, 2.0, -4.0]), False)):
        table = {"fd_classifier": (by_classifier + shift).tolist()}
        change(folder / "dcgan" / LAST_METRICS, values_by_network=table)
        assert found() == differs
