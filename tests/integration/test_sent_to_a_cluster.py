"""What a cluster's workers are sent: with a task goes the flow that it belongs to, and with that all of its tasks."""

import importlib
import pkgutil

import cloudpickle  # type: ignore[import-untyped]  # it has no types; Prefect's own way to send what is to be run
import pytest
from prefect import Flow

import flows

MODULES = [module.name for module in pkgutil.iter_modules(flows.__path__, "flows.")]


@pytest.mark.parametrize("module", MODULES)
def test_a_flow_can_be_sent(module: str) -> None:
    """Nothing in it belongs to one process: no open file, no lock, no generator that has begun."""
    found = [each for each in vars(importlib.import_module(module)).values() if isinstance(each, Flow)]

    assert found
    for flow in found:
        assert cloudpickle.loads(cloudpickle.dumps(flow)).name == flow.name
