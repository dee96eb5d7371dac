"""Snakemake: one rule with a wildcard, the dependencies as an input function."""

import json

from benchmarks.engines import Engine, Job

SNAKEFILE = """\
import json
TASKS = json.load(open("tasks.json"))

rule all:
    input: expand("out/{id}.txt", id=TASKS)

rule task:
    input: lambda wildcards: [f"out/{before}.txt" for before in TASKS[wildcards.id]["after"]]
    output: "out/{id}.txt"
    log: "logs/{id}.log"
    params: argv=lambda wildcards: TASKS[wildcards.id]["argv"]
    shell: "{params.argv} > {log} 2>&1"
"""


def _prepare(job: Job) -> list[str]:
    tasks = {
        task.id: {"after": task.after, "argv": " ".join(job.argv(task))}
        for task in job.workload.tasks
    }
    (job.workdir / "tasks.json").write_text(json.dumps(tasks))
    (job.workdir / "Snakefile").write_text(SNAKEFILE)
    command = [job.python.parent / "snakemake", "--cores", job.slots, "--scheduler", "greedy"]
    return [str(word) for word in (*command, "--quiet", "all", "--nolock")]


ENGINES = (
    Engine(
        name="snakemake",
        title="Snakemake",
        duties="logs, checks, journal",
        requirements=("snakemake==9.27.1",),
        prepare=_prepare,
        shows=("snakemake",),
    ),
)
