"""An MLflow that does not answer is told without its password."""

import pytest

from search.records.mlflow_store import TrackingError, check_tracking
from tests.servers import free_port


def test_a_tracking_server_that_is_away_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    url = f"http://me:s3cret%2Fof@127.0.0.1:{free_port()}"
    with pytest.raises(
        TrackingError, match=r"MLflow at http://me:\*\*\*@127\S+ does not answer: .*; start it, or"
    ) as told:
        check_tracking(url, "s")
    assert "s3cret" not in str(told.value)
