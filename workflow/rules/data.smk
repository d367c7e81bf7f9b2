# Once per dataset: fetch, prepare, reference.

for name, dataset in of_this_job(DATASETS).items():

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
            copies=COPIES,
            settings=settings("fetch", dataset),
        message:
            f"Fetch {name}."
        shell:
            "latentbench fetch --config {params.copies}data/config/{params.name}.yaml"
            " --output {params.copies}data/raw/{params.name} &> {log}"

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
            copies=COPIES,
            settings=settings("prepare", dataset),
        message:
            f"Prepare {name}."
        shell:
            "latentbench prepare --config {params.copies}data/config/{params.name}.yaml"
            " --raw {params.copies}data/raw/{params.name}"
            " --output {params.copies}data/prepared/{params.name}"
            " --record {params.copies}data/provenance/{params.name}/prepare.json &> {log}"

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
            copies=COPIES,
            settings=settings("reference", dataset),
        message:
            f"Compute the features of the real images of {name}."
        shell:
            "latentbench reference --config {params.copies}data/config/{params.name}.yaml"
            " --data {params.copies}data/prepared/{params.name}"
            " --output {params.copies}data/reference/{params.name}"
            " --record {params.copies}data/provenance/{params.name}/reference.json &> {log}"
