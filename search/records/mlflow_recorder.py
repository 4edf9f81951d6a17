"""Records to MLflow from the driver, after Optuna and from one buffering thread."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from optuna.trial import TrialState

from search.records.mlflow_points import TrialEnd, is_refused
from search.records.mlflow_store import MlflowStore
from search.states import Reason
from search.storage import masked

RETRY_S = 5.0
# At the end a server that restarts is waited for, one that is gone is not.
END_PATIENCE_S = 10.0


class MlflowRecorder:
    """The bridge's recorder: a call only queues; one thread writes, in batches, and again while the server is away.

    What cannot be written by the end is said in `missing`; Optuna and the trial folders hold it.
    """

    def __init__(self, store: MlflowStore, finish: Callable[[int], TrialEnd], warn: Callable[[str], None]) -> None:
        """`finish` gives the best value and files of a trial that has ended."""
        self._store = store
        self._finish = finish
        self._warn = warn
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._run_ids: dict[int, str] = {}
        self._news = threading.Condition()
        self._away = False
        self._closing = threading.Event()
        # When the last attempt is due, in seconds of the monotonic clock.
        self._end_s = float("inf")
        self._dropping = False
        self.missing = 0
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="mlflow-recorder", daemon=True)
        self._thread.start()

    def opened(self, number: int, values: Mapping[str, Any]) -> None:
        """Create (or find) the trial's run and log its parameters."""
        self._queue.put(lambda: self._open(number, dict(values)))

    def epoch(self, number: int, row: Mapping[str, Any]) -> None:
        """Log one epoch's metrics at the row's own end."""
        self._queue.put(lambda: self._store.add_epoch(number, row))

    def closed(self, number: int, state: TrialState, reason: Reason) -> None:
        """Write the end of a trial with its artifacts, or that it waits."""
        ended_s = time.time()

        def close() -> None:
            end = self._finish(number) if state.is_finished() else TrialEnd()
            self._store.close_trial(number, state, reason, ended_s, end)

        self._queue.put(close)

    def run_id(self, number: int, *, wait: bool) -> str | None:
        """The run of a trial, None while MLflow has not made it; `wait` waits for that unless MLflow is away."""
        with self._news:
            if wait:
                self._news.wait_for(lambda: number in self._run_ids or self._away)
            return self._run_ids.get(number)

    def close(self, finished: bool | None) -> None:
        """Write what is queued and that the study is `finished` or waits, and end the thread.

        With None nothing more is written: somebody else does by now. Raises RuntimeError if the thread has died of an
        error of ours.
        """
        if finished is None:
            self._dropping = True
        else:
            self._queue.put(lambda: self._store.close_study(finished))
        self._end_s = time.monotonic() + END_PATIENCE_S
        self._closing.set()
        self._queue.put(None)
        self._thread.join()
        if self._failure is not None:
            raise RuntimeError("recording to MLflow failed") from self._failure

    def _open(self, number: int, values: dict[str, Any]) -> None:
        run_id = self._store.open_trial(number, values)
        with self._news:
            self._run_ids[number] = run_id
            self._news.notify_all()

    def _work(self) -> None:
        try:
            self._write()
        except BaseException as error:  # noqa: BLE001 - a thread's edge: kept for `close`, and nobody waits for a run id
            self._failure = error
            self._warn(f"recording to MLflow failed ({self._reason(error)}); the study goes on")
            self._set_away(True)

    def _write(self) -> None:
        ended = False
        while not ended:
            steps = [self._queue.get()]
            while not self._queue.empty():
                steps.append(self._queue.get())
            for step in steps:
                if step is None:
                    ended = True
                else:
                    self._run(step)
            self._run(self._store.flush)

    def _run(self, step: Callable[[], None]) -> None:
        while not self._dropping:
            if self._away and time.monotonic() > self._end_s:
                self.missing += 1
                return
            try:
                step()
            except self._store.errors as error:
                if is_refused(error):
                    self._refuse(error)
                    return
                if not self._away:
                    self._warn(f"MLflow does not take records ({self._reason(error)}); the study goes on")
                self._set_away(True)
                # An end cuts the wait short; then there are a few attempts.
                if self._closing.is_set():
                    time.sleep(RETRY_S / 5)
                self._closing.wait(RETRY_S)
            else:
                if self._away:
                    self._warn("MLflow takes records again")
                self._set_away(False)
                return

    def _refuse(self, error: Exception) -> None:
        if not self.missing:
            self._warn(f"MLflow refuses a record ({self._reason(error)}); the study goes on")
        self.missing += 1
        # Whichever of the buffered ones it was, it would be refused again.
        self._store.drop()

    def _set_away(self, away: bool) -> None:
        with self._news:
            self._away = away
            self._news.notify_all()

    def _reason(self, error: BaseException) -> str:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        return masked(line, self._store.uri)[:200]
