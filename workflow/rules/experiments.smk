# Once per experiment: train, evaluate, explore.

for name, experiment in of_this_job(EXPERIMENTS).items():
    figure = {"category": experiment.study, "subcategory": name}

    rule:
        name:
            f"train@{name}"
        input:
            config=changed_config("train", f"{results(name)}/{paths.CONFIG}", experiment),
            data=prepared_files(experiment.dataset),
            sources=sources("train"),
        output:
            checkpoints=checkpoints(name),
            samples=report(samples(name), caption="../report/samples.rst", **figure),
            evolution=report(
                [f"{results(name)}/{picture}" for picture in paths.EVOLUTION],
                caption="../report/evolution.rst",
                **figure,
            ),
            reconstructions=report(reconstructions(name), caption="../report/reconstructions.rst", **figure),
            architecture=f"{results(name)}/{paths.ARCHITECTURE}",
            history=f"{results(name)}/{paths.HISTORY}",
            iterations=f"{results(name)}/{paths.ITERATIONS}",
            provenance=f"{results(name)}/{paths.PROVENANCE}",
        log:
            f"logs/{experiment.study}/{name}/train.log",
        # Training takes longest: it starts before whatever else could.
        priority: 10
        conda:
            "../envs/latentbench.yaml"
        threads: experiment.compute.threads * experiment.training.processes
        resources:
            mem_mb=memory("train", experiment.resources),
            runtime=minutes("train", experiment.resources),
            gpu=gpus(experiment.compute, experiment.training.processes),
        params:
            name=name,
            sources=digest("train"),
            copies=COPIES,
            study=experiment.study,
            dataset=experiment.dataset,
            settings=settings("train", experiment),
        message:
            f"Train {name}; follow it in logs/{experiment.study}/{name}/train.log."
        shell:
            "latentbench train --config {params.copies}results/{params.study}/{params.name}/config.yaml"
            " --data {params.copies}data/prepared/{params.dataset}"
            " --results {params.copies}results/{params.study}/{params.name}"
            " --logs logs/{params.study}/{params.name}"
            " --scratch scratch/{params.study}/{params.name} &> {log}"

    rule:
        name:
            f"evaluate@{name}"
        input:
            config=changed_config("evaluate", f"{results(name)}/{paths.CONFIG}", experiment),
            checkpoints=checkpoints(name),
            data=prepared_files(experiment.dataset),
            reference=reference_files(experiment.dataset),
            sources=sources("evaluate"),
        output:
            metrics=report(f"{results(name)}/{paths.METRICS}", caption="../report/metrics.rst", **figure),
            last=f"{results(name)}/{paths.LAST_METRICS}",
            examination=f"{results(name)}/{paths.EVALUATION_ARRAYS}",
            provenance=f"{results(name)}/{paths.record_name('evaluate')}",
        log:
            f"logs/{experiment.study}/{name}/evaluate.log",
        conda:
            "../envs/latentbench.yaml"
        threads: experiment.compute.threads * experiment.training.processes
        resources:
            mem_mb=memory("evaluate", experiment.resources),
            runtime=minutes("evaluate", experiment.resources),
            gpu=gpus(experiment.compute, experiment.training.processes),
        params:
            name=name,
            sources=digest("evaluate"),
            copies=COPIES,
            study=experiment.study,
            dataset=experiment.dataset,
            settings=settings("evaluate", experiment),
        message:
            f"Measure the checkpoints of {name}."
        shell:
            "latentbench evaluate --config {params.copies}results/{params.study}/{params.name}/config.yaml"
            " --data {params.copies}data/prepared/{params.dataset}"
            " --reference {params.copies}data/reference/{params.dataset}"
            " --results {params.copies}results/{params.study}/{params.name}"
            " --scratch scratch/{params.study}/{params.name} &> {log}"

    rule:
        name:
            f"explore@{name}"
        input:
            config=changed_config("explore", f"{results(name)}/{paths.CONFIG}", experiment),
            checkpoint=checkpoints(name)[-1],
            data=prepared_files(experiment.dataset),
            reference=reference_files(experiment.dataset),
            sources=sources("explore"),
        output:
            facts=f"{results(name)}/{paths.LATENT_FACTS}",
            arrays=f"{results(name)}/{paths.LATENT_ARRAYS}",
            pictures=[
                report(f"{results(name)}/latent/{picture}.png", caption=f"../report/{picture}.rst", **figure)
                for picture in paths.PREVIEWS
            ],
            provenance=f"{results(name)}/{paths.record_name('explore')}",
        log:
            f"logs/{experiment.study}/{name}/explore.log",
        conda:
            "../envs/latentbench.yaml"
        threads: experiment.compute.threads
        resources:
            mem_mb=memory("explore", experiment.resources),
            runtime=minutes("explore", experiment.resources),
            gpu=gpus(experiment.compute),
        params:
            name=name,
            sources=digest("explore"),
            copies=COPIES,
            study=experiment.study,
            dataset=experiment.dataset,
            settings=settings("explore", experiment),
        message:
            f"Explore the latent space of {name}."
        shell:
            "latentbench explore --config {params.copies}results/{params.study}/{params.name}/config.yaml"
            " --data {params.copies}data/prepared/{params.dataset}"
            " --reference {params.copies}data/reference/{params.dataset}"
            " --results {params.copies}results/{params.study}/{params.name} &> {log}"
