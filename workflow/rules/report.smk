# Once per study: its walkthrough, its report, and the zip to hand in.


rule walkthrough:
    input:
        study=f"results/{{study}}/{paths.STUDY}",
        results=study_results(
            [
                paths.CONFIG,
                "checkpoints",
                paths.ARCHITECTURE,
                *paths.EVALUATION_FILES,
                *map(paths.record_name, dependencies.OF_REPEATS),
            ],
            of_repeats=[],
        ),
        data=walkthrough_data,
        notebook=local(f"report/{paths.notebook_name(WALKTHROUGH)}"),
    output:
        directory("walkthrough/{study}"),
    log:
        "logs/{study}/walkthrough.log",
    conda:
        "../envs/latentbench.yaml"
    resources:
        mem_mb=mem_mb("walkthrough"),
        runtime=runtime("walkthrough"),
    params:
        code=code("walkthrough"),
    shell:
        "latentbench walkthrough --results $(dirname {input.study}) --data $(dirname {input.data})"
        " --sources report --output {output} &> {log}"


rule report:
    input:
        study=f"results/{{study}}/{paths.STUDY}",
        walkthrough=walkthrough,
        results=study_results(
            [
                paths.CONFIG,
                "samples",
                paths.ARCHITECTURE,
                paths.HISTORY,
                paths.ITERATIONS,
                *paths.EVALUATION_FILES,
                *paths.EXPLORATION_FILES,
                *map(paths.record_name, dependencies.OF_EXPERIMENTS),
            ],
            of_repeats=[
                paths.CONFIG,
                paths.HISTORY,
                *paths.EVALUATION_FILES,
                *map(paths.record_name, dependencies.OF_REPEATS),
            ],
        ),
        notebooks=notebooks,
        parts=[local(f"report/{part}") for part in REPORT_PARTS],
    output:
        report(
            directory("report/{study}"),
            patterns=["{page}.html"],
            caption="../report/comparison.rst",
            category="{study}",
        ),
    log:
        "logs/{study}/report.log",
    conda:
        "../envs/latentbench.yaml"
    resources:
        mem_mb=mem_mb("report"),
        runtime=runtime("report"),
    params:
        code=code("report"),
    shell:
        "latentbench report --results $(dirname {input.study}) --walkthrough walkthrough/{wildcards.study}"
        " --sources report --output {output} &> {log}"


rule handin:
    input:
        study=rules.report.input.study,
        report=rules.report.output,
        results=study_results(
            ["checkpoints", *paths.SUBMITTED_FILES], of_repeats=["checkpoints", *paths.SUBMITTED_FILES]
        ),
        walkthrough=walkthrough,
        lock=local("requirements/walkthrough.lock"),
        project=local("pyproject.toml"),
    output:
        directory("handin/{study}"),
    log:
        "logs/{study}/handin.log",
    localrule: True
    conda:
        "../envs/latentbench.yaml"
    params:
        code=code("handin"),
        params=lambda wildcards: yaml_text(PARAMS.excerpt("study", wildcards.study)),
    shell:
        "printf %s {params.params:q} | latentbench handin --params - --study {wildcards.study}"
        " --results $(dirname {input.study}) --report {input.report} --walkthrough walkthrough/{wildcards.study}"
        " --project . --output {output} &> {log}"
