# Resolve what Snakemake read, with every --config override, into one file per dataset, experiment and study.
# update() leaves the file in place until it is replaced: jobs whose settings stay the same may be reading it.

for name, dataset in of_this_job(DATASETS).items():

    rule:
        name:
            f"configure_dataset@{name}"
        input:
            params=changed_params(f"data/config/{name}.yaml", dataset),
            sources=sources("configure"),
        output:
            update(f"data/config/{name}.yaml"),
        log:
            f"logs/data/{name}/configure.log",
        localrule: True
        conda:
            "../envs/latentbench.yaml"
        params:
            name=name,
            sources=digest("configure"),
            copies=COPIES,
            params=params_for("dataset", name),
        message:
            f"Resolve the settings of dataset {name}."
        shell:
            "printf '%s' {params.params:q} | "
            "latentbench configure --params - --dataset {params.name}"
            " --output {params.copies}data/config/{params.name}.yaml &> {log}"


for name, experiment in of_this_job(EXPERIMENTS).items():

    rule:
        name:
            f"configure_experiment@{name}"
        input:
            params=changed_params(f"{results(name)}/{paths.CONFIG}", experiment),
            sources=sources("configure"),
        output:
            update(f"{results(name)}/{paths.CONFIG}"),
        log:
            f"logs/{experiment.study}/{name}/configure.log",
        localrule: True
        conda:
            "../envs/latentbench.yaml"
        params:
            name=name,
            sources=digest("configure"),
            copies=COPIES,
            study=experiment.study,
            params=params_for("experiment", name),
        message:
            f"Resolve the settings of {name}."
        shell:
            "printf '%s' {params.params:q} | "
            "latentbench configure --params - --experiment {params.name}"
            " --output {params.copies}results/{params.study}/{params.name}/config.yaml &> {log}"


for name, study in of_this_job(STUDIES).items():

    rule:
        name:
            f"configure_study@{name}"
        input:
            params=changed_params(f"results/{name}/{paths.STUDY}", study),
            sources=sources("configure"),
        output:
            update(f"results/{name}/{paths.STUDY}"),
        log:
            f"logs/{name}/configure.log",
        localrule: True
        conda:
            "../envs/latentbench.yaml"
        params:
            name=name,
            sources=digest("configure"),
            copies=COPIES,
            params=params_for("study", name),
        message:
            f"Resolve the settings of study {name}."
        shell:
            "printf '%s' {params.params:q} | "
            "latentbench configure --params - --study {params.name}"
            " --output {params.copies}results/{params.name}/study.yaml &> {log}"
