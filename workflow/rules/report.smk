# Once per study: its report, and what is handed in.

for name, study in of_this_job(STUDIES).items():

    rule:
        name:
            f"report@{name}"
        input:
            study=f"results/{name}/{paths.STUDY}",
            results=[file for experiment in study.experiments for file in result_files(experiment)],
            parts=report_parts(name),
            sources=sources("report"),
        output:
            files=report_files(name),
            page=report(report_page(name), caption="../report/comparison.rst", category=name),
        log:
            f"logs/{name}/report.log",
        conda:
            "../envs/latentbench.yaml"
        resources:
            mem_mb=memory("report"),
            runtime=minutes("report"),
        params:
            name=name,
            sources=digest("report", *report_parts(name)),
            copies=COPIES,
        message:
            f"Render the report of {name}."
        shell:
            "latentbench report --results {params.copies}results/{params.name} --sources report"
            " --output {params.copies}report/{params.name} &> {log}"

    rule:
        name:
            f"handin@{name}"
        input:
            report=[report_page(name), *report_files(name)],
            results=[file for experiment in study.experiments for file in handed_in(experiment)],
            lock=here(["requirements/main.lock"]),
            sources=sources("handin"),
        output:
            handin_file(name),
        log:
            f"logs/{name}/handin.log",
        localrule: True
        conda:
            "../envs/latentbench.yaml"
        params:
            name=name,
            sources=digest("handin"),
            copies=COPIES,
            params=params_for("study", name),
        message:
            f"Pack what is handed in of {name}."
        shell:
            "printf '%s' {params.params:q} | "
            "latentbench handin --params - --study {params.name} --results {params.copies}results/{params.name}"
            " --report {params.copies}report/{params.name} --lock requirements/main.lock"
            " --output {params.copies}handin/{params.name} &> {log}"
