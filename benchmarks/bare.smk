# The DAG of the workflow and nothing else: what benchmarks/scale.py compares it with.
configfile: "params.yaml"


EXPERIMENTS = config["experiments"]
STUDIES = config["studies"]
PARTS = ["page.html", "page.lua", "page.typ", "style.css", "interactive.js", "references.bib"]
CHAPTERS = ["background", "data", "training", "latent", "comparison"]
SUBMITTED = ["config.yaml", "history.csv", "metrics.csv", "metrics.json", "provenance/train.json"]
RESULTS = [
    "config.yaml",
    "samples",
    "architecture.csv",
    "history.csv",
    "iterations.csv",
    "metrics.csv",
    "metrics.json",
    "evaluation/arrays.npz",
    "latent/explore.json",
    "latent/arrays.npz",
    "latent/interactive.npz",
    "latent/samples.png",
    "latent/reconstruction.png",
    "latent/interpolation.png",
    "provenance/train.json",
    "provenance/evaluate.json",
    "provenance/explore.json",
]
MEMBERS = {study: [] for study in STUDIES}
for name, entry in EXPERIMENTS.items():
    MEMBERS[entry["study"]].append(name)


def of_study(names):
    return lambda wildcards: [
        f"results/{wildcards.study}/{member}/{name}" for member in MEMBERS[wildcards.study] for name in names
    ]


def prepared(wildcards):
    return "data/prepared/" + EXPERIMENTS[wildcards.experiment]["dataset"]


def reference(wildcards):
    return "data/reference/" + EXPERIMENTS[wildcards.experiment]["dataset"]


wildcard_constraints:
    study="[^/.]+",
    experiment="[^/]+",
    dataset="[^/]+",


rule all:
    input:
        expand(["report/{study}", "handin/{study}"], study=STUDIES),


rule configure_dataset:
    output:
        "data/config/{dataset}/{stage}.yaml",
    log:
        "logs/data/{dataset}/configure_{stage}.log",
    shell:
        "printf %s {wildcards.dataset} > {output} 2> {log}"


rule configure_stage:
    output:
        "results/{study}/{experiment}/config/{stage}.yaml",
    log:
        "logs/{study}/{experiment}/configure_{stage}.log",
    shell:
        "printf %s {wildcards.experiment} > {output} 2> {log}"


rule configure_experiment:
    output:
        "results/{study}/{experiment}/config.yaml",
    log:
        "logs/{study}/{experiment}/configure.log",
    shell:
        "printf %s {wildcards.experiment} > {output} 2> {log}"


rule configure_study:
    output:
        "results/{study}/study.yaml",
    log:
        "logs/{study}/configure.log",
    shell:
        "printf %s {wildcards.study} > {output} 2> {log}"


rule fetch:
    input:
        "data/config/{dataset}/fetch.yaml",
    output:
        "data/raw/{dataset}/source.json",
    log:
        "logs/data/{dataset}/fetch.log",
    shell:
        "latentbench fetch --config {input} --output data/raw/{wildcards.dataset} &> {log}"


rule prepare:
    input:
        "data/config/{dataset}/prepare.yaml",
        "data/raw/{dataset}/source.json",
    output:
        directory("data/prepared/{dataset}"),
        "data/provenance/{dataset}/prepare.json",
    log:
        "logs/data/{dataset}/prepare.log",
    shell:
        "latentbench prepare --config {input[0]} --raw data/raw/{wildcards.dataset}"
        " --output {output[0]} --record {output[1]} &> {log}"


rule reference:
    input:
        "data/config/{dataset}/reference.yaml",
        "data/prepared/{dataset}",
    output:
        directory("data/reference/{dataset}"),
        "data/provenance/{dataset}/reference.json",
    log:
        "logs/data/{dataset}/reference.log",
    shell:
        "latentbench reference --config {input[0]} --data {input[1]}"
        " --output {output[0]} --record {output[1]} &> {log}"


rule train:
    input:
        "results/{study}/{experiment}/config/train.yaml",
        prepared,
    output:
        directory("results/{study}/{experiment}/checkpoints"),
        directory("results/{study}/{experiment}/samples"),
        "results/{study}/{experiment}/architecture.csv",
        "results/{study}/{experiment}/history.csv",
        "results/{study}/{experiment}/iterations.csv",
        "results/{study}/{experiment}/provenance/train.json",
    log:
        "logs/{study}/{experiment}/train.log",
    shell:
        "latentbench train --config {input[0]} --data {input[1]}"
        " --results results/{wildcards.study}/{wildcards.experiment}"
        " --logs logs/{wildcards.study}/{wildcards.experiment}"
        " --scratch scratch/{wildcards.study}/{wildcards.experiment} &> {log}"


rule evaluate:
    input:
        "results/{study}/{experiment}/config/evaluate.yaml",
        "results/{study}/{experiment}/checkpoints",
        prepared,
        reference,
    output:
        "results/{study}/{experiment}/metrics.csv",
        "results/{study}/{experiment}/metrics.json",
        "results/{study}/{experiment}/evaluation/arrays.npz",
        "results/{study}/{experiment}/provenance/evaluate.json",
    log:
        "logs/{study}/{experiment}/evaluate.log",
    shell:
        "latentbench evaluate --config {input[0]} --data {input[2]} --reference {input[3]}"
        " --results results/{wildcards.study}/{wildcards.experiment}"
        " --scratch scratch/{wildcards.study}/{wildcards.experiment} &> {log}"


rule explore:
    input:
        "results/{study}/{experiment}/config/explore.yaml",
        "results/{study}/{experiment}/checkpoints",
        prepared,
        reference,
    output:
        expand(
            "results/{{study}}/{{experiment}}/latent/{name}.png",
            name=["samples", "reconstruction", "interpolation"],
        ),
        "results/{study}/{experiment}/latent/explore.json",
        "results/{study}/{experiment}/latent/arrays.npz",
        "results/{study}/{experiment}/latent/interactive.npz",
        "results/{study}/{experiment}/provenance/explore.json",
    log:
        "logs/{study}/{experiment}/explore.log",
    shell:
        "latentbench explore --config {input[0]} --data {input[2]} --reference {input[3]}"
        " --results results/{wildcards.study}/{wildcards.experiment} &> {log}"


rule report:
    input:
        "results/{study}/study.yaml",
        of_study(RESULTS),
        expand("report/{name}.ipynb", name=CHAPTERS),
        expand("report/{name}", name=PARTS),
    output:
        directory("report/{study}"),
    log:
        "logs/{study}/report.log",
    shell:
        "latentbench report --results results/{wildcards.study} --sources report --output {output} &> {log}"


rule handin:
    input:
        "results/{study}/study.yaml",
        "report/{study}",
        of_study(["checkpoints", *SUBMITTED]),
        "requirements/main.lock",
    output:
        directory("handin/{study}"),
    log:
        "logs/{study}/handin.log",
    shell:
        "latentbench handin --results results/{wildcards.study} --output {output} &> {log}"
