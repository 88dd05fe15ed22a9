# Jobs of a study, side by side: what `dcac_lite.studies.study.in_processes` calls, in a folder with 0.job, 1.job, ...
import shlex

PYTHON = shlex.quote(config["python"])


rule all:
    input:
        [f"{k}.rows" for k in range(config["jobs"])],


rule job:
    input:
        "{k}.job",
    output:
        "{k}.rows",
    log:
        "{k}.log",
    shell:
        "OMP_NUM_THREADS=1 TQDM_DISABLE=1 "
        f'{PYTHON} -m dcac_lite {config["door"]} --job "$(cat {{input:q}})" > {{output:q}} 2> {{log:q}}'
