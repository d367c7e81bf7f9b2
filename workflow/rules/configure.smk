# Write the resolved settings of each stage into a file of its own: the stage reruns if this file changes.
# The settings are params, with every --config override, so that a rule here reruns if they change.


rule configure_dataset:
    output:
        "data/config/{dataset}/{stage}.yaml",
    log:
        "logs/data/{dataset}/configure_{stage}.log",
    wildcard_constraints:
        stage="|".join(dependencies.OF_DATASETS),
    localrule: True
    conda:
        "../envs/latentbench.yaml"
    params:
        settings=lambda wildcards: config_files("dataset", wildcards.dataset)[f"{wildcards.stage}.yaml"],
    shell:
        "printf %s {params.settings:q} > {output} 2> {log}"


rule configure_stage:
    output:
        f"results/{{study}}/{{experiment}}/{paths.stage_config('{stage}')}",
    log:
        "logs/{study}/{experiment}/configure_{stage}.log",
    wildcard_constraints:
        stage="|".join(dependencies.OF_EXPERIMENTS),
    localrule: True
    conda:
        "../envs/latentbench.yaml"
    params:
        settings=lambda wildcards: config_files("experiment", wildcards.experiment)[
            paths.stage_config(wildcards.stage)
        ],
    shell:
        "printf %s {params.settings:q} > {output} 2> {log}"


# The whole experiment, for its report.
rule configure_experiment:
    output:
        f"results/{{study}}/{{experiment}}/{paths.CONFIG}",
    log:
        "logs/{study}/{experiment}/configure.log",
    localrule: True
    conda:
        "../envs/latentbench.yaml"
    params:
        settings=lambda wildcards: config_files("experiment", wildcards.experiment)[paths.CONFIG],
    shell:
        "printf %s {params.settings:q} > {output} 2> {log}"


rule configure_study:
    output:
        f"results/{{study}}/{paths.STUDY}",
    log:
        "logs/{study}/configure.log",
    localrule: True
    conda:
        "../envs/latentbench.yaml"
    params:
        settings=lambda wildcards: config_files("study", wildcards.study)[paths.STUDY],
    shell:
        "printf %s {params.settings:q} > {output} 2> {log}"


rule configure_search:
    output:
        f"results/{{study}}/{{experiment}}/{paths.SELECT_CONFIG}",
    log:
        "logs/{study}/{experiment}/configure_search.log",
    wildcard_constraints:
        experiment="[A-Za-z0-9_-]+",
    localrule: True
    conda:
        "../envs/latentbench.yaml"
    params:
        settings=lambda wildcards: dependencies.select_config(experiment(wildcards.experiment)),
    shell:
        "printf %s {params.settings:q} > {output} 2> {log}"


# A training of an experiment with a search has the settings that the search selects.
ruleorder: configure_selected_stage > configure_stage
ruleorder: configure_selected_experiment > configure_experiment


rule configure_selected_stage:
    input:
        selected,
    output:
        f"results/{{study}}/{{experiment}}/{paths.stage_config('{stage}')}",
    log:
        "logs/{study}/{experiment}/configure_{stage}.log",
    wildcard_constraints:
        experiment=SEARCHED,
        stage="|".join(dependencies.OF_EXPERIMENTS),
    localrule: True
    conda:
        "../envs/latentbench.yaml"
    params:
        settings=lambda wildcards: config_files("experiment", wildcards.experiment)[
            paths.stage_config(wildcards.stage)
        ],
    shell:
        "printf %s {params.settings:q} | latentbench merge --config - --selected {input} --output {output} &> {log}"


rule configure_selected_experiment:
    input:
        selected,
    output:
        f"results/{{study}}/{{experiment}}/{paths.CONFIG}",
    log:
        "logs/{study}/{experiment}/configure.log",
    wildcard_constraints:
        experiment=SEARCHED,
    localrule: True
    conda:
        "../envs/latentbench.yaml"
    params:
        settings=lambda wildcards: config_files("experiment", wildcards.experiment)[paths.CONFIG],
    shell:
        "printf %s {params.settings:q} | latentbench merge --config - --selected {input} --output {output} &> {log}"
