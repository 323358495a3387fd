"""Finished Jobs go when their ttlSecondsAfterFinished is over, and their pods with them. Pure.

Source: pkg/controller/ttlafterfinished/ttlafterfinished_controller.go.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from emulator.api.kinds import JOB
from emulator.api.meta import ObjectKey, condition_of, is_terminating, parse_time
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, own_key


def plan_ttl(key: ObjectKey, view: View, at: datetime) -> Changes:
    """Delete the Job once its time is over; before, look again then."""
    job = view.get(JOB, key.name, key.namespace)
    seconds = job["spec"].get("ttlSecondsAfterFinished") if job is not None else None
    if job is None or seconds is None or is_terminating(job):
        return NOTHING
    ends = [condition_of(job, type) for type in ("Complete", "Failed")]
    ended = next((end for end in ends if end is not None and end["status"] == "True"), None)
    if ended is None:
        return NOTHING
    left = (parse_time(ended["lastTransitionTime"]) + timedelta(seconds=seconds) - at).total_seconds()
    if left > 0:
        return Changes(retry_after_seconds=left)
    return Changes(deletes=(Delete(JOB, key, job["metadata"]["uid"], propagation="Foreground"),))


CONTROLLER = Controller("ttl-after-finished", {JOB: own_key}, plan_ttl)
