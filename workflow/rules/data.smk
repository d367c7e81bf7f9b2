# Once per dataset: fetch, prepare, reference.


rule fetch:
    input:
        config="data/config/{dataset}/fetch.yaml",
    output:
        f"data/raw/{{dataset}}/{paths.SOURCE_MANIFEST}",
    log:
        "logs/data/{dataset}/fetch.log",
    # Cluster nodes seldom have internet access.
    localrule: True
    conda:
        "../envs/latentbench.yaml"
    resources:
        mem_mb=mem_mb("fetch"),
        runtime=runtime("fetch"),
    params:
        code=code("fetch"),
    shell:
        "latentbench fetch --config {input.config} --output $(dirname {output}) &> {log}"


rule prepare:
    input:
        config="data/config/{dataset}/prepare.yaml",
        raw=f"data/raw/{{dataset}}/{paths.SOURCE_MANIFEST}",
    output:
        data=directory("data/prepared/{dataset}"),
        record="data/provenance/{dataset}/prepare.json",
    log:
        "logs/data/{dataset}/prepare.log",
    conda:
        "../envs/latentbench.yaml"
    # Decoding uses all cores; their number does not change the bits.
    threads: 16
    resources:
        mem_mb=mem_mb("prepare"),
        runtime=runtime("prepare"),
    params:
        code=code("prepare"),
    shell:
        "latentbench prepare --config {input.config} --raw $(dirname {input.raw})"
        " --output {output.data} --record {output.record} &> {log}"


rule reference:
    input:
        config="data/config/{dataset}/reference.yaml",
        data="data/prepared/{dataset}",
    output:
        data=directory("data/reference/{dataset}"),
        record="data/provenance/{dataset}/reference.json",
    log:
        "logs/data/{dataset}/reference.log",
    # All evaluations wait for it; only training has a higher priority.
    priority: 5
    conda:
        "../envs/latentbench.yaml"
    threads: lambda wildcards: compute(wildcards).threads
    resources:
        mem_mb=mem_mb("reference"),
        runtime=runtime("reference"),
        gpu=gpu,
    params:
        code=code("reference"),
    shell:
        "latentbench reference --config {input.config} --data {input.data}"
        " --output {output.data} --record {output.record} &> {log}"
