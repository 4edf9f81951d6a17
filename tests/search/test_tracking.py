"""An MLflow that does not answer is told without its password."""

import threading
from pathlib import Path

import pytest
from optuna.trial import TrialState

from search.records.mlflow_points import TrialEnd
from search.records.mlflow_recorder import MlflowRecorder
from search.records.mlflow_store import MlflowStore, TrackingError, check_tracking
from search.states import Reason
from tests.search.tabulated import row
from tests.servers import free_port


def test_a_tracking_server_that_is_away_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    url = f"http://me:s3cret%2Fof@127.0.0.1:{free_port()}"
    with pytest.raises(
        TrackingError, match=r"MLflow at http://me:\*\*\*@127\S+ does not answer: .*; start it, or"
    ) as told:
        check_tracking(url, "s")
    assert "s3cret" not in str(told.value)


@pytest.mark.slow
def test_a_record_that_mlflow_refuses_holds_up_no_other_and_a_lost_lease_ends_the_writing(tmp_path: Path) -> None:
    uri, said = f"sqlite:///{tmp_path}/mlflow.db", []
    store = MlflowStore(uri, "s", tmp_path.as_uri(), "best")

    def recorder() -> MlflowRecorder:
        return MlflowRecorder(store, lambda number: TrialEnd(), said.append)

    first = recorder()
    first.opened(0, {"not a name?": 1})
    first.opened(1, {"lr": 0.1})
    first.epoch(1, row(1, 0.5))
    first.closed(1, TrialState.COMPLETE, Reason.FINISHED)
    first.close(finished=True)
    assert (first.missing, len(said)) == (1, 1)
    assert said[0].startswith("MLflow refuses a record (")
    run = store.client.get_run(store.runs[1])
    assert (run.info.status, run.data.metrics, run.data.params) == ("FINISHED", {"val/miou": 0.5}, {"lr": "0.1"})
    second = recorder()
    with second._news:  # holds its thread at the first step
        second.opened(2, {})
        second.epoch(2, row(1, 0.5))
        threading.Thread(target=second.close, args=[None]).start()
        while not second._closing.is_set():
            pass
    second._thread.join()
    assert store.client.get_run(store.parent_id).info.status == "FINISHED"
    assert second.missing == 0
    assert 2 not in store.runs or store.client.get_run(store.runs[2]).data.metrics == {}
