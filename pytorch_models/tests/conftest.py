"""Fixtures of the tests of networks."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Let torch compute in one thread, as each of several processes does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
