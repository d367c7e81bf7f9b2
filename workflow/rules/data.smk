# Once per dataset: fetch, prepare, reference.

for name, dataset in DATASETS.items():

    rule:
        name:
            f"fetch@{name}"
        input:
            config=changed_config("fetch", f"data/config/{name}.yaml", dataset),
            sources=sources("fetch"),
        output:
            raw_manifest(name),
        log:
            f"logs/data/{name}/fetch.log",
        # Nodes of clusters seldom reach the outside.
        localrule: True
        conda:
            "../envs/latentbench.yaml"
        resources:
            mem_mb=memory("fetch"),
            runtime=minutes("fetch"),
        params:
            name=name,
            sources=digest("fetch"),
            settings=settings("fetch", dataset),
        message:
            f"Fetch {name}."
        shell:
            "latentbench fetch --config data/config/{params.name}.yaml --output data/raw/{params.name} &> {log}"

    rule:
        name:
            f"prepare@{name}"
        input:
            config=changed_config("prepare", f"data/config/{name}.yaml", dataset),
            raw=raw_manifest(name),
            sources=sources("prepare"),
        output:
            prepared_files(name),
            record=data_record("prepare", name),
        log:
            f"logs/data/{name}/prepare.log",
        conda:
            "../envs/latentbench.yaml"
        # Decoding uses every core there is, and leaves the same bits with any number of them.
        threads: 16
        resources:
            mem_mb=memory("prepare"),
            runtime=minutes("prepare"),
        params:
            name=name,
            sources=digest("prepare"),
            settings=settings("prepare", dataset),
        message:
            f"Prepare {name}."
        shell:
            "latentbench prepare --config data/config/{params.name}.yaml --raw data/raw/{params.name}"
            " --output data/prepared/{params.name} --record {output.record} &> {log}"

    rule:
        name:
            f"reference@{name}"
        input:
            config=changed_config("reference", f"data/config/{name}.yaml", dataset),
            data=prepared_files(name),
            sources=sources("reference"),
        output:
            reference_files(name),
            record=data_record("reference", name),
        log:
            f"logs/data/{name}/reference.log",
        # Every measurement waits for it; only training goes first.
        priority: 5
        conda:
            "../envs/latentbench.yaml"
        threads: dataset.dataset.reference.compute.threads
        resources:
            mem_mb=memory("reference"),
            runtime=minutes("reference"),
            gpu=gpus(dataset.dataset.reference.compute),
        params:
            name=name,
            sources=digest("reference"),
            settings=settings("reference", dataset),
        message:
            f"Compute the features of the real images of {name}."
        shell:
            "latentbench reference --config data/config/{params.name}.yaml --data data/prepared/{params.name}"
            " --output data/reference/{params.name} --record {output.record} &> {log}"
