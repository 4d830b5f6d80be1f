"""Which provider ran which node: read from ONNX Runtime's own profile of one run.

A session may list a device first and still run on the CPU what the device does not have. Only
the profile says which; it is written into a temporary folder that is gone afterwards.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trufor_onnx.documents import parse_json
from trufor_onnx.errors import ParityError, ProviderRunError
from trufor_onnx.providers import Provider

KERNEL = "_kernel_time"  # how the event of a node that was computed ends
# Copies between host and device belong to the device, and compute nothing.
COPIES = frozenset({"Memcpy", "MemcpyFromHost", "MemcpyToHost"})
PREFIX = "onnxruntime"


@dataclass(frozen=True)
class Placement:
    """Where the nodes of one run were computed.

    What a provider compiles into one (TensorRT, OpenVINO) counts as one node.

    Attributes:
        nodes: nodes by the provider that computed them, as ONNX Runtime calls it.
        time_share: each provider's share of the time inside of nodes, 0..1.
        fell_back_ops: operator types of nodes that another provider than the wanted one computed,
            with their number.
        options: what the session says that the wanted provider's settings are.
        unconfirmed: settings that were asked for and that the session does not speak of.
    """

    nodes: Mapping[str, int]
    time_share: Mapping[str, float]
    fell_back_ops: Mapping[str, int]
    options: Mapping[str, str]
    unconfirmed: tuple[str, ...] = ()

    @property
    def fell_back(self) -> int:
        """How many nodes the wanted provider did not compute."""
        return sum(self.fell_back_ops.values())

    def document(self) -> dict[str, Any]:
        """As the report has it."""
        found: dict[str, Any] = asdict(self)
        return found


class Profile:
    """ONNX Runtime's profile of one run: switched on before a session is made, read after a run.

    Args:
        options: the ``SessionOptions`` of the session.
    """

    def __init__(self, options: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="trufor-onnx-")
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(self._folder.name) / PREFIX)

    def end(self, session: Any) -> list[dict[str, Any]]:
        """Stop profiling, and return the events.

        Raises:
            ParityError: there is no profile, or it cannot be read.
        """
        try:
            path = Path(session.end_profiling())
            events = parse_json(path.read_bytes(), object_pairs_hook=dict)  # not written by us
        except (OSError, ValueError) as error:
            raise ParityError(
                f"ONNX Runtime's profile cannot be read ({error}): nothing proves where nodes ran",
                hint="free some space in the temporary folder; see $TMPDIR",
            ) from error
        finally:
            self.discard()
        if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
            raise ParityError(
                "ONNX Runtime's profile is not a list of events: nothing proves where nodes ran",
                hint="use a version of onnxruntime that is in constraints.txt",
            )
        return events

    def discard(self) -> None:
        """Remove the temporary folder."""
        self._folder.cleanup()


def placement_of(
    events: list[dict[str, Any]], provider: Provider, options: Mapping[str, str]
) -> Placement:
    """Where the nodes ran.

    Args:
        events: the profile of a run.
        provider: what was asked for.
        options: what the session says that the provider's settings are.

    Raises:
        ProviderError: the provider that was asked for computed no node.
    """
    wanted = provider.execution_provider
    ran: dict[str, tuple[str, str]] = {}  # a node of a loop runs often and counts once
    times: Counter[str] = Counter()
    for event in events:
        name, about = str(event.get("name", "")), event.get("args", {})
        if event.get("cat") != "Node" or not name.endswith(KERNEL) or not about.get("provider"):
            continue
        if about.get("op_name") in COPIES:
            continue
        ran[name.removesuffix(KERNEL)] = (about["provider"], about.get("op_name", "unknown"))
        times[about["provider"]] += event.get("dur", 0)
    nodes = Counter(where for where, _ in ran.values())
    if not nodes[wanted]:
        elsewhere = ", ".join(f"{count} on {name}" for name, count in nodes.most_common())
        raise ProviderRunError(
            f"{provider.name} was asked for and computed no node ({elsewhere or 'nothing ran'})",
            hint="the session lists it, but it takes none of this file's operators here",
        )
    lost = Counter(operator for where, operator in ran.values() if where != wanted)
    whole = sum(times.values())  # microseconds
    return Placement(
        nodes=dict(sorted(nodes.items())),
        time_share={name: round(times[name] / max(whole, 1), 3) for name in sorted(nodes)},
        fell_back_ops=dict(sorted(lost.items())),
        options=dict(sorted(options.items())),
        unconfirmed=tuple(sorted(provider.options.keys() - options.keys())),
    )
