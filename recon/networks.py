"""MediaPipe, loaded without what it brings along for drawing and sound, which nothing here uses."""

import sys
from types import ModuleType
from typing import Any

UNUSED = ("matplotlib", "matplotlib.pyplot", "sounddevice")
"""Half a second of a start. `mediapipe.python.solutions` imports the first two by name and calls them only to draw
landmarks; the last is for microphones."""


def mediapipe() -> ModuleType:
    """The package. ImportError: it is not installed."""
    kept = {name: sys.modules[name] for name in UNUSED if name in sys.modules}
    if "mediapipe" not in sys.modules and not kept:
        empty = {name: ModuleType(name, "Stood in while MediaPipe was imported.") for name in UNUSED}
        empty["matplotlib"].__dict__["pyplot"] = empty["matplotlib.pyplot"]
        sys.modules.update(empty)
    try:
        import mediapipe as package
    finally:
        for name in set(UNUSED) - set(kept):
            if sys.modules.get(name) is not None and sys.modules[name].__spec__ is None:
                del sys.modules[name]
    found: ModuleType = package
    return found


def answers(solution: Any, **inputs: Any) -> dict[str, Any]:
    """The packets that a solution's graph answers some inputs with. inputs: arrays, messages, or packets of them.

    It is what `SolutionBase.process` of the version that we require does, without making a class for every answer and
    an object for every number, which takes a tenth of the network's own time."""
    solution._graph_outputs.clear()
    solution._simulated_timestamp += 33333
    for name, given in inputs.items():
        packet = given if hasattr(given, "timestamp") else solution._make_packet(
            solution._input_stream_type_info[name], given)
        solution._graph.add_packet_to_input_stream(stream=name, packet=packet.at(solution._simulated_timestamp))
    solution._graph.wait_until_idle()
    return dict(solution._graph_outputs)


def content(solution: Any, packets: dict[str, Any], name: str) -> Any:
    """What a packet of these answers holds; None for none."""
    packet = packets.get(name)
    return None if packet is None else solution._get_packet_content(solution._output_stream_type_info[name], packet)
