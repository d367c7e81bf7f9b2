# Once per training of an experiment: train, evaluate. Once per experiment: explore, and select of those with a search,
# whose trials are trained only.


rule train:
    input:
        config="results/{study}/{experiment}/config/train.yaml",
        data=prepared_data,
    output:
        checkpoints=directory("results/{study}/{experiment}/checkpoints"),
        samples=report(
            directory("results/{study}/{experiment}/samples"),
            patterns=["{name}.png", "{name}.gif"],
            caption="../report/samples.rst",
            category="{study}",
            subcategory="{experiment}",
        ),
        architecture=f"results/{{study}}/{{experiment}}/{paths.ARCHITECTURE}",
        history=f"results/{{study}}/{{experiment}}/{paths.HISTORY}",
        iterations=f"results/{{study}}/{{experiment}}/{paths.ITERATIONS}",
        record=f"results/{{study}}/{{experiment}}/{paths.PROVENANCE}",
    log:
        "logs/{study}/{experiment}/train.log",
    wildcard_constraints:
        experiment="[A-Za-z0-9_-]+(?:/repeats/[1-9][0-9]*)?",
    # Training takes longest, so it starts before everything else that could.
    priority: 10
    conda:
        "../envs/latentbench.yaml"
    threads: threads_of_processes
    resources:
        mem_mb=mem_mb("train"),
        runtime=runtime("train"),
        gpu=gpu_of_processes,
    params:
        code=code("train"),
    shell:
        "latentbench train --config {input.config} --data {input.data} --results $(dirname {output.checkpoints})"
        " --logs $(dirname {log})"
        " --scratch scratch/{wildcards.study}/{wildcards.experiment} &> {log}"


# A rule of its own, so that `--until train` reaches the trainings that wait for the trials.
use rule train as train_trial with:
    wildcard_constraints:
        experiment="[A-Za-z0-9_-]+/search/[1-9][0-9]*",


rule evaluate:
    input:
        config="results/{study}/{experiment}/config/evaluate.yaml",
        checkpoints=rules.train.output.checkpoints,
        data=prepared_data,
        reference=reference_data,
    output:
        metrics=report(
            f"results/{{study}}/{{experiment}}/{paths.METRICS}",
            caption="../report/metrics.rst",
            category="{study}",
            subcategory="{experiment}",
        ),
        last=f"results/{{study}}/{{experiment}}/{paths.LAST_METRICS}",
        arrays=f"results/{{study}}/{{experiment}}/{paths.EVALUATION_ARRAYS}",
        record=f"results/{{study}}/{{experiment}}/{paths.record_name('evaluate')}",
    log:
        "logs/{study}/{experiment}/evaluate.log",
    wildcard_constraints:
        experiment="[A-Za-z0-9_-]+(?:/repeats/[1-9][0-9]*)?",
    conda:
        "../envs/latentbench.yaml"
    threads: threads_of_processes
    resources:
        mem_mb=mem_mb("evaluate"),
        runtime=runtime("evaluate"),
        gpu=gpu_of_processes,
    params:
        code=code("evaluate"),
    shell:
        "latentbench evaluate --config {input.config} --data {input.data}"
        " --reference {input.reference} --results $(dirname {input.checkpoints})"
        " --scratch scratch/{wildcards.study}/{wildcards.experiment} &> {log}"


rule explore:
    input:
        config="results/{study}/{experiment}/config/explore.yaml",
        checkpoints=rules.train.output.checkpoints,
        data=prepared_data,
        reference=reference_data,
    output:
        pictures=report(
            expand("results/{{study}}/{{experiment}}/latent/{name}.png", name=paths.PREVIEWS),
            caption="../report/latent.rst",
            category="{study}",
            subcategory="{experiment}",
        ),
        facts=f"results/{{study}}/{{experiment}}/{paths.LATENT_FACTS}",
        arrays=f"results/{{study}}/{{experiment}}/{paths.LATENT_ARRAYS}",
        interactive=f"results/{{study}}/{{experiment}}/{paths.INTERACTIVE_ARRAYS}",
        record=f"results/{{study}}/{{experiment}}/{paths.record_name('explore')}",
    log:
        "logs/{study}/{experiment}/explore.log",
    wildcard_constraints:
        experiment="[A-Za-z0-9_-]+",
    conda:
        "../envs/latentbench.yaml"
    threads: lambda wildcards: compute(wildcards).threads
    resources:
        mem_mb=mem_mb("explore"),
        runtime=runtime("explore"),
        gpu=gpu,
    params:
        code=code("explore"),
    shell:
        "latentbench explore --config {input.config} --data {input.data}"
        " --reference {input.reference} --results $(dirname {input.checkpoints}) &> {log}"


rule select:
    input:
        config=f"results/{{study}}/{{experiment}}/{paths.SELECT_CONFIG}",
        checkpoints=trial_checkpoints,
        data=prepared_data,
        reference=reference_data,
    output:
        selected=f"results/{{study}}/{{experiment}}/{paths.SELECTED}",
        record=f"results/{{study}}/{{experiment}}/{paths.SELECT_RECORD}",
    log:
        "logs/{study}/{experiment}/select.log",
    wildcard_constraints:
        experiment="[A-Za-z0-9_-]+",
    # The reported trainings wait for it.
    priority: 10
    conda:
        "../envs/latentbench.yaml"
    threads: lambda wildcards: compute(wildcards).threads
    resources:
        mem_mb=mem_mb("select"),
        runtime=runtime("select"),
        gpu=gpu,
    params:
        code=code("select"),
    shell:
        "latentbench select --config {input.config} --data {input.data} --reference {input.reference}"
        " --results $(dirname $(dirname {output.selected}))"
        " --scratch scratch/{wildcards.study}/{wildcards.experiment} &> {log}"
