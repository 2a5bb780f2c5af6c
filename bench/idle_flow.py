"""A flow of as many mapped tasks as asked for that do nothing: what Prefect takes by itself, whatever the tasks do.

`python -m bench.idle_flow TASKS`, with the settings of the flows: results are kept, four tasks at a time.
"""

import argparse

from prefect import flow, task
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner


@task(persist_result=True)
def do_nothing(number: int) -> int:
    """Give back what was given."""
    return number


@flow(task_runner=ThreadPoolTaskRunner(max_workers=4), persist_result=False)
def idle(tasks: int) -> None:
    """Run so many tasks."""
    wait(list(do_nothing.map(list(range(tasks)))))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.idle_flow", description=__doc__)
    parser.add_argument("tasks", type=int)
    idle(parser.parse_args().tasks)
