# The entry point of the workflow. `snakemake` runs every study, `snakemake STUDY` one of them.
from snakemake.utils import min_version

min_version("9.5")


include: "workflow/rules/common.smk"


localrules:
    all,


# A list of many experiments would take longer to match than everything else. An experiment's further trainings and the
# trials of its search lie in folders of it.
wildcard_constraints:
    study="|".join(PARAMS.studies),
    dataset="|".join(PARAMS.datasets),
    experiment="[A-Za-z0-9_-]+(?:/(?:repeats|search)/[1-9][0-9]*)?",


rule all:
    input:
        expand(["report/{study}", "handin/{study}"], study=PARAMS.studies),


include: "workflow/rules/configure.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/experiments.smk"
include: "workflow/rules/report.smk"


# Two targets per study: `snakemake faces` and `snakemake handin_faces`.
for name in PARAMS.studies:

    rule:
        name:
            name
        input:
            f"report/{name}",
        localrule: True

    rule:
        name:
            f"handin_{name}"
        input:
            f"report/{name}",
            f"handin/{name}",
        localrule: True
