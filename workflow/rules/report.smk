# Once per study: its report.

for name, study in STUDIES.items():

    rule:
        name:
            f"report@{name}"
        input:
            study=f"results/{name}/{layout.STUDY}",
            results=[file for experiment in study.experiments for file in result_files(experiment)],
            parts=REPORT_PARTS,
            sources=sources("report"),
        output:
            notebook=f"report/{name}/comparison.ipynb",
            page=report(report_page(name), caption="../report/comparison.rst", category=name),
        log:
            f"logs/{name}/report.log",
        conda:
            "../envs/latentbench.yaml"
        resources:
            mem_mb=2_000,
            runtime=30,
        params:
            name=name,
        message:
            f"Render the report of {name}."
        shell:
            "latentbench report --results results/{params.name} --template report/comparison.ipynb"
            " --output report/{params.name} &> {log}"
