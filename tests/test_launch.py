"""What the launcher starts is tested by tests/test_cli_datastore.py."""

import pytest
import torch

from drcap.errors import ConfigError
from drcap.processes.launch import launch


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"2 are too many for 1 GPU\(s\)"):
        launch("drcap.cli", ["doctor"], 2)
