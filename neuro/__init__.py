"""A trained network goes in; spikes on an emulated neuromorphic chip come out, with accuracy, energy and latency.

The public names, resolved when first used so that `import neuro` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "Bill": "bill",
    "Part": "bill",
    "Sourced": "sourced",
    "NeuroError": "errors",
    "Graph": "graph",
    "Layer": "graph",
    "Network": "network",
    "Population": "network",
    **dict.fromkeys(("Dense", "Sparse", "OneToOne", "Conv1d", "Conv2d", "SumPool2d"), "projections"),
    **dict.fromkeys(
        (
            "Source",
            "IntegrateAndFire",
            "SignedIntegrateAndFire",
            "WaitIntegrateAndFire",
            "RadixIntegrateAndFire",
            "Graded",
            "MaxPool",
            "Value",
            "CubaLif",
            "Delta",
            "SigmaDelta",
            "UserNeuron",
            "Readout",
            "LeakyReadout",
        ),
        "neurons",
    ),
    "LearningRule": "learning.rule",
    "frame_by_frame": "framewise",
    "Run": "engine.records",
    "run": "engine.run",
    "Session": "engine.session",
    "open_session": "engine.session",
    "Workload": "machines.workload",
    "weigh": "machines.workload",
    "Machine": "machines.machine",
    "list_machines": "machines.machine",
    "load_machine": "machines.machine",
    "cost": "machines.costing",
    "list_workloads": "machines.ready",
    "ready_workload": "machines.ready",
    **dict.fromkeys(("NeuroBench", "neurobench"), "metrics"),
    "Comparison": "comparison",
    "compare": "comparison",
    **dict.fromkeys(("list_chips", "load_chip"), "chip.files"),
    "Chip": "chip.spec",
    "Faults": "chip.faultspec",
    "to_crossbars": "chip.cutting.crossbars",
    **dict.fromkeys(("Placement", "place"), "chip.placing.placement"),
    **dict.fromkeys(("read_mapping", "write_mapping"), "chip.placing.given"),
    **dict.fromkeys(("ChipRun", "emulate"), "chip.emulator"),
    "sweep": "sweeping.sweep",
    **dict.fromkeys(("Space", "Search", "Setting"), "sweeping.settings"),
    "Sweep": "sweeping.found",
    "optimise": "optimising.optimise",
    **dict.fromkeys(("OptimiseGoal", "OptimiseSettings"), "optimising.plan"),
    **dict.fromkeys(("Optimised", "OptimisedPoint"), "optimising.found"),
    "write_report": "report.study",
    **dict.fromkeys(("Study", "study"), "studies.study"),
}

__all__ = ["__version__", "errors", *_WHERE]  # noqa: PLE0604  # names are strings

if TYPE_CHECKING:
    from neuro import errors as errors
    from neuro.bill import Bill as Bill
    from neuro.bill import Part as Part
    from neuro.chip.cutting.crossbars import to_crossbars as to_crossbars
    from neuro.chip.emulator import ChipRun as ChipRun
    from neuro.chip.emulator import emulate as emulate
    from neuro.chip.faultspec import Faults as Faults
    from neuro.chip.files import list_chips as list_chips
    from neuro.chip.files import load_chip as load_chip
    from neuro.chip.placing.given import read_mapping as read_mapping
    from neuro.chip.placing.given import write_mapping as write_mapping
    from neuro.chip.placing.placement import Placement as Placement
    from neuro.chip.placing.placement import place as place
    from neuro.chip.spec import Chip as Chip
    from neuro.comparison import Comparison as Comparison
    from neuro.comparison import compare as compare
    from neuro.engine.records import Run as Run
    from neuro.engine.run import run as run
    from neuro.engine.session import Session as Session
    from neuro.engine.session import open_session as open_session
    from neuro.errors import NeuroError as NeuroError
    from neuro.framewise import frame_by_frame as frame_by_frame
    from neuro.graph import Graph as Graph
    from neuro.graph import Layer as Layer
    from neuro.learning.rule import LearningRule as LearningRule
    from neuro.machines.costing import cost as cost
    from neuro.machines.machine import Machine as Machine
    from neuro.machines.machine import list_machines as list_machines
    from neuro.machines.machine import load_machine as load_machine
    from neuro.machines.ready import list_workloads as list_workloads
    from neuro.machines.ready import ready_workload as ready_workload
    from neuro.machines.workload import Workload as Workload
    from neuro.machines.workload import weigh as weigh
    from neuro.metrics import NeuroBench as NeuroBench
    from neuro.metrics import neurobench as neurobench
    from neuro.network import Network as Network
    from neuro.network import Population as Population
    from neuro.neurons import CubaLif as CubaLif
    from neuro.neurons import Delta as Delta
    from neuro.neurons import Graded as Graded
    from neuro.neurons import IntegrateAndFire as IntegrateAndFire
    from neuro.neurons import LeakyReadout as LeakyReadout
    from neuro.neurons import MaxPool as MaxPool
    from neuro.neurons import RadixIntegrateAndFire as RadixIntegrateAndFire
    from neuro.neurons import Readout as Readout
    from neuro.neurons import SigmaDelta as SigmaDelta
    from neuro.neurons import SignedIntegrateAndFire as SignedIntegrateAndFire
    from neuro.neurons import Source as Source
    from neuro.neurons import UserNeuron as UserNeuron
    from neuro.neurons import Value as Value
    from neuro.neurons import WaitIntegrateAndFire as WaitIntegrateAndFire
    from neuro.optimising.found import Optimised as Optimised
    from neuro.optimising.found import OptimisedPoint as OptimisedPoint
    from neuro.optimising.optimise import optimise as optimise
    from neuro.optimising.plan import OptimiseGoal as OptimiseGoal
    from neuro.optimising.plan import OptimiseSettings as OptimiseSettings
    from neuro.projections import Conv1d as Conv1d
    from neuro.projections import Conv2d as Conv2d
    from neuro.projections import Dense as Dense
    from neuro.projections import OneToOne as OneToOne
    from neuro.projections import Sparse as Sparse
    from neuro.projections import SumPool2d as SumPool2d
    from neuro.report.study import write_report as write_report
    from neuro.sourced import Sourced as Sourced
    from neuro.studies.study import Study as Study
    from neuro.studies.study import study as study
    from neuro.sweeping.found import Sweep as Sweep
    from neuro.sweeping.settings import Search as Search
    from neuro.sweeping.settings import Setting as Setting
    from neuro.sweeping.settings import Space as Space
    from neuro.sweeping.sweep import sweep as sweep


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("neuro.errors")
    if name not in _WHERE:
        raise AttributeError(f"module 'neuro' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"neuro.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
