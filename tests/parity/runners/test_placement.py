"""What a profile says, and what it must not be read as."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parity.runners.fake_onnxruntime import node
from trufor_onnx.errors import ProviderRunError
from trufor_onnx.parity.runners.placement import placement_of
from trufor_onnx.providers import NAMES, Provider

CUDA = Provider("cuda", required=True, options={"use_tf32": "0"})
ON_CUDA, ON_CPU = NAMES["cuda"], NAMES["cpu"]


def test_nodes_time_and_what_was_lost() -> None:
    events = [
        node("a", ON_CUDA, "Conv", 60),
        node("b", ON_CUDA, "Relu", 20),
        node("c", ON_CPU, "Gather", 20),
        {"cat": "Session", "name": "model_run", "dur": 999, "args": {}},
        {"cat": "Node", "name": "a_fence_before", "dur": 5, "args": {"provider": ON_CPU}},
    ]
    found = placement_of(events, CUDA, {"use_tf32": "0", "device_id": "0"})
    assert found.nodes == {ON_CPU: 1, ON_CUDA: 2}
    assert found.time_share == {ON_CPU: 0.2, ON_CUDA: 0.8}
    assert found.fell_back_ops == {"Gather": 1}
    assert found.document()["options"] == {"device_id": "0", "use_tf32": "0"}
    assert found.unconfirmed == ()


def test_a_node_in_a_loop_counts_once_and_takes_all_its_time() -> None:
    found = placement_of(
        [node("a", ON_CUDA, "Conv", 30)] * 3 + [node("b", ON_CPU, "Add")], CUDA, {}
    )
    assert found.nodes == {ON_CPU: 1, ON_CUDA: 1}
    assert found.time_share[ON_CUDA] == 0.9


@pytest.mark.parametrize("operator", ["MemcpyFromHost", "MemcpyToHost"])
def test_copies_alone_are_no_computation_on_the_device(operator: str) -> None:
    """A session that lists CUDA first, copies to it, and computes on the CPU."""
    events = [node("copy", ON_CUDA, operator), node("a", ON_CPU, "Conv")]
    with pytest.raises(ProviderRunError, match=r"computed no node \(1 on CPUExecutionProvider\)"):
        placement_of(events, CUDA, {})


def test_settings_that_the_session_does_not_name_are_said() -> None:
    provider = Provider("openvino", required=True, options={"device_type": "CPU"})
    events = [node("fused", NAMES["openvino"], "OpenVINO-EP-subgraph_1")]
    assert placement_of(events, provider, {}).unconfirmed == ("device_type",)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([ON_CUDA, ON_CPU]), st.integers(0, 1000)), max_size=30))
def test_every_node_is_counted_once(nodes: list[tuple[str, int]]) -> None:
    events = [node(str(i), where, "Conv", us) for i, (where, us) in enumerate(nodes)]
    if not any(where == ON_CUDA for where, _ in nodes):
        with pytest.raises(ProviderRunError):
            placement_of(events, CUDA, {})
        return
    found = placement_of(events, CUDA, {})
    assert sum(found.nodes.values()) == len(nodes)
    assert found.fell_back == found.nodes.get(ON_CPU, 0)
    assert abs(sum(found.time_share.values()) - 1.0) < 0.002 or not any(us for _, us in nodes)
