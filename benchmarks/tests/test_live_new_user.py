"""The benchmark of live new users fails where it cannot measure."""

import pytest

from benchmarks import live_new_user
from benchmarks._command import CouldNotMeasure


def test_a_missing_data_set_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "sys.argv", ["live_new_user", "--data", str(tmp_path / "none"), "--graphs", "ml-100k"]
    )
    with pytest.raises(CouldNotMeasure, match="is not there"):
        live_new_user.main()
