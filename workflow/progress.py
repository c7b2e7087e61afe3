"""What a run of the graph says: a line as each job starts, each table when it is ready.

At its start it states what it will take here (costs.py); jobs that have ended correct
the estimate.
"""

import logging
import re
import sys
import time
from pathlib import Path

from snakemake_interface_logger_plugins.common import LogEvent

from workflow import costs

REPLACED = {  # Snakemake's own lines about the same
    *(LogEvent.RUN_INFO, LogEvent.JOB_INFO, LogEvent.JOB_STARTED, LogEvent.SHELLCMD),
    *(LogEvent.JOB_FINISHED, LogEvent.PROGRESS, LogEvent.RESOURCES_INFO),
}
CHATTER = ("Select jobs to execute", "Execute ", "Touching output file")
TRUSTED = 100  # core-seconds of ended jobs from which on they correct the estimate


class Progress(logging.Handler):
    """Follows the jobs of a run by Snakemake's events."""

    def __init__(self, workflow, plan):
        super().__init__()
        self.workflow, self.plan = workflow, plan
        self.waiting, self.running = {}, {}  # job's number -> the job; -> its start
        self.expected: dict[str, float] = {}  # core-seconds by a job's name
        self.reckoned = self.taken = 0.0  # core-seconds of the jobs that have ended

    def emit(self, record: logging.LogRecord) -> None:
        """Take one of Snakemake's events; others pass. A fault here stops no run."""
        try:
            self._follow(getattr(record, "event", None), record)
        except Exception:
            self.handleError(record)

    def _follow(self, event: LogEvent | None, record: logging.LogRecord) -> None:
        if event == LogEvent.RUN_INFO:
            self._begin()
        elif event == LogEvent.JOB_INFO and record.jobid in self.waiting:
            self.running[record.jobid] = time.time()
            name = costs.job_name(self.waiting[record.jobid])
            logs = ", ".join(record.log)
            self._say(f"[{self._state()}] {name}: {costs.kind(name)} (log: {logs})")
        elif event == LogEvent.JOB_FINISHED and record.job_id in self.running:
            self._end(record.job_id)

    def _begin(self) -> None:
        self.started, self.speed = time.time(), round(costs.core_speed(), -9)
        self.waiting = {job.jobid: job for job in self.workflow.dag.needrun_jobs()}
        self.count = len(self.waiting)
        self.expected = costs.expected(Path(self.plan.reports), self.speed)
        rough = f"`drcap doctor --profile {self.plan.profile}` has a rough estimate"
        takes = f"about {_time(self.left())} here" if self.left() else rough
        self._say(f"{self.count} steps, {takes}. Results: {self.plan.reports}/")

    def _end(self, number: int) -> None:
        job, began = self.waiting.pop(number), self.running.pop(number)
        now = time.time()
        facts = {"began": began, "ended": now}
        facts |= {"threads": job.threads, "speed": self.speed}
        costs.keep(self.plan.made, costs.job_name(job), **facts)
        if reckoned := self._reckoned(job):
            self.reckoned += reckoned
            self.taken += (now - began) * job.threads
        if job.rule.name == "table":
            self._say("\n" + Path(job.output[1]).read_text(encoding="utf-8"))

    def left(self) -> float:
        """Return the seconds that remain; 0 where nothing is known of the jobs."""
        correction = self.taken / self.reckoned if self.reckoned > TRUSTED else 1.0
        total, now = 0.0, time.time()
        for number, job in self.waiting.items():
            spent = (now - self.running.get(number, now)) * job.threads
            total += max(0.0, correction * self._reckoned(job) - spent)
        return total / self.workflow.cores

    def _reckoned(self, job) -> float:
        name = costs.job_name(job)
        same = re.sub(r"seed_\d+", "seed_0", name)  # takes what another seed takes
        return self.expected.get(name) or self.expected.get(same, 0.0)

    def _state(self) -> str:
        step = self.count - len(self.waiting) + len(self.running)
        gone, left = _time(time.time() - self.started), self.left()
        to_go = [f"about {_time(left)} to go"] if left else []
        return ", ".join([f"{step} of {self.count}", f"{gone} gone", *to_go])

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def follow(workflow, plan, logger: logging.Logger) -> None:
    """Let `Progress` speak in Snakemake's place, but for errors and dry runs."""

    def rest(record: logging.LogRecord) -> bool:
        replaced = getattr(record, "event", None) in REPLACED
        chatter = str(record.msg).startswith(CHATTER)
        return workflow.dryrun or not (replaced or chatter)

    for handler in logger.handlers:
        handler.addFilter(rest)
    progress = Progress(workflow, plan)
    progress.addFilter(lambda record: not workflow.dryrun)
    logger.addHandler(progress)


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    hours = f"{minutes // 60} h " if minutes >= 60 else ""
    return f"{hours}{minutes % 60} min"
