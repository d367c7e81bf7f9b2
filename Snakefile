# The workflow's table of contents. Plain `snakemake` renders every study; `snakemake STUDY` renders one.
from snakemake.utils import min_version

min_version("9.5")


include: "workflow/rules/common.smk"


localrules:
    all,


rule all:
    input:
        [[*target_files(study), handin_file(study)] for study in STUDIES],


include: "workflow/rules/configure.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/experiments.smk"
include: "workflow/rules/report.smk"


# Targets named like a study.
for study in STUDIES:

    rule:
        name:
            study
        input:
            target_files(study),
        localrule: True

    rule:
        name:
            f"handin_{study}"
        input:
            target_files(study),
            handin_file(study),
        localrule: True
