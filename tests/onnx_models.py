"""Modules as ONNX files for the tests: exported by torch, and read back beside the module."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

import neuro


def exported(model: nn.Module, example: np.ndarray, path: Path, *, plain: bool = True, open_batch: bool = False) -> Path:
    """The module as torch's exporter writes it; `plain`: as it is written, else with batch norms folded by torch."""
    mode = torch.onnx.TrainingMode.PRESERVE if plain else torch.onnx.TrainingMode.EVAL
    names = {"input_names": ["input"], "dynamic_axes": {"input": {0: "samples"}}} if open_batch else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on the exporter's own future
        torch.onnx.export(
            model.eval(),
            (torch.as_tensor(example[:2]),),
            path,
            dynamo=False,
            training=mode,
            do_constant_folding=not plain,
            **names,
        )
    return path


def renamed(network: neuro.Network) -> neuro.Network:
    """The network with its populations named by their place."""
    names = {p.name: str(i) for i, p in enumerate(network.populations)}
    populations = tuple(neuro.Population(names[p.name], p.shape, p.neuron) for p in network.populations)
    projections = []
    for p in network.projections:
        fields = dict(p._values()) | {"source": names[p.source], "target": names[p.target]}
        projections.append(type(p)(**fields))
    return neuro.Network(populations, tuple(projections), network.timesteps)


def reference(path: Path, x: np.ndarray) -> np.ndarray:
    """What the file computes, by the reference implementation in the onnx package."""
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(str(path))
    return np.asarray(session.run(None, {session.input_names[0]: x})[0])


def saved(nodes: list, inputs: list, outputs: list, tensors: dict, path: Path, opset: int = 20, domain: str = "") -> Path:
    """A graph written by hand."""
    initializers = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()]
    graph = onnx.helper.make_graph(nodes, "by_hand", inputs, outputs, initializers)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(domain, opset)])
    path.write_bytes(model.SerializeToString())
    return path


def value(name: str, *shape: object) -> object:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
