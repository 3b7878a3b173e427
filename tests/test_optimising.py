"""Optimising for a chip: the bill by message, channels that leave together, and training until messages cost what they may."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import neuro
from converters.codes import row_of
from converters.evaluation import logits
from converters.optimising.channels import channel_groups, dead_groups, mixes, without
from converters.optimising.messages import layer_prices, ones
from converters.optimising.reading import read_entries
from converters.optimising.scores import channel_scores, weight_scores
from converters.optimising.student import Coding, Student
from neuro.chip.cutting.capabilities import able_codes
from neuro.optimising.measure import converted, measures, messages_of, run_on, settled
from neuro.optimising.prices import expected_pj, message_prices
from neuro.optimising.rounds import Lesson, Rounds, savings
from tests.optimising import CHIP, Residual, data, emulated, learned

X, Y = data()
GRAPH = learned(Residual(), X, Y)
MESSAGES = ("synapse", "spike", "axon_out", "axon_in", "hops")


@pytest.mark.parametrize(("code", "timesteps"), [("graded", 1), ("radix", 5), ("rate", 8), ("signed", 8), ("wait", 6)])
def test_prices_of_messages_add_up_to_the_bill(code, timesteps):
    ran = emulated(GRAPH, X[:40], code, timesteps)
    prices, sent = message_prices(ran), messages_of(ran)
    parts = {part.name: part.energy_pj or 0.0 for part in ran.bill.parts}
    by_message = expected_pj(prices, {name: sent[name] for name in prices.by_neuron})
    assert by_message == pytest.approx(sum(parts[name] for name in MESSAGES), rel=1e-12)
    network = ran.placement.network
    assert sum(each * network[name].size for name, each in prices.update.items()) == pytest.approx(parts["neuron"], rel=1e-12)


@pytest.mark.parametrize("chip", ["loihi1-davies2018", "loihi2-oheo", "loihi2-x8", "spinnaker2"])
def test_prices_add_up_on_every_kind_of_chip(chip):
    """Lists that skip zeros, boards of several chips, trees of packets, chips whose updates cost when driven."""
    spec = neuro.load_chip(chip)
    code = "graded" if "graded" in able_codes(spec) else "rate"
    ran = run_on(converted(GRAPH, X[:64], spec, {"code": code, "timesteps": 8}), spec, X[:20])
    prices, sent = message_prices(ran), messages_of(ran)
    by_message = expected_pj(prices, {name: sent[name] for name in prices.by_neuron})
    updated = sum(each * ran.placement.network[name].size for name, each in prices.update.items())
    parts = {part.name: part.energy_pj or 0.0 for part in ran.bill.parts if part.kind == "dynamic"}
    assert by_message + updated == pytest.approx(ran.bill.dynamic_pj - parts.get("barrier", 0.0), rel=1e-9)


def test_layers_share_out_the_whole_dynamic_energy():
    ran = emulated(GRAPH, X[:40])
    found = measures(ran, Y[:40])
    by_layer = sum(layer.synapse_pj + layer.update_pj + layer.send_pj for layer in found.layers)
    assert by_layer == pytest.approx(found.dynamic_pj, rel=1e-9)
    assert sum(layer.messages for layer in found.layers) == pytest.approx(found.messages)


def test_the_differentiable_bill_of_what_was_sent_is_the_counted_bill():
    """The student's price of 0/1 messages is linear in them: with the messages of the emulated run it is that run's bill."""
    ran = emulated(GRAPH, X[:40])
    prices = message_prices(ran)
    student = Student(GRAPH, X[:64], Coding("graded"))
    shapes = {layer.name: layer.shape for layer in GRAPH.layers if layer.op == "relu"}
    tensors = layer_prices(prices.by_neuron, shapes)
    with torch.no_grad():
        passed = student.forward(torch.as_tensor(X[:40]))
    sent = {
        name: torch.as_tensor(np.asarray(ran.run.spikes[name], np.float32).reshape(-1, *shape)) for name, shape in shapes.items()
    }
    exact = type(passed)(passed.values, sent).price(tensors)
    counted = expected_pj(prices, {name: messages_of(ran)[name] for name in shapes})
    assert float(exact) == pytest.approx(counted, rel=1e-6)
    assert float(passed.price(tensors)) == pytest.approx(counted, rel=0.02)  # weights of 8 bits switch a few messages


@pytest.mark.parametrize(("code", "timesteps"), [("rate", 8), ("signed", 8), ("radix", 5)])
def test_a_student_sends_about_what_the_network_sends(code, timesteps):
    ran = emulated(GRAPH, X[:64], code, timesteps)
    student = Student(GRAPH, X[:64], Coding(code, timesteps))
    with torch.no_grad():
        passed = student.forward(torch.as_tensor(X[:64]))
    for name, sent in passed.messages.items():
        assert float(sent.sum()) / 64 == pytest.approx(messages_of(ran)[name].sum(), rel=0.1), name
    answers = passed.values[student.output].argmax(dim=1).numpy()
    assert (answers == ran.run.predictions).mean() > 0.9


def test_settled_thresholds_are_those_of_the_network():
    """A layer that weighs one channel far more than the others has its threshold raised there; a second conversion keeps it."""
    first = next(layer for layer in GRAPH.layers if layer.op == "conv")
    weight = np.array(first.arrays["weight"])
    weight[0] *= 40
    loud = neuro.Layer(first.name, "conv", first.inputs, first.shape, {**first.arrays, "weight": weight}, first.options)
    graph = GRAPH.relayered(loud if layer.name == first.name else layer for layer in GRAPH.layers)
    how = {"code": "rate", "timesteps": 8, "weight_bits": 3}
    once = settled(graph, X[:64], CHIP, how)
    again = settled(once, X[:64], CHIP, how)
    before, after = (Student(one, X[:64], Coding("rate", 8)).theta for one in (graph, once))
    raised = {name: (after[name] - before[name]).detach().numpy() for name in after}
    assert all((up > -1e-5).all() for up in raised.values())
    assert max(up.max() for up in raised.values()) > 0.05
    for name, theta in Student(again, X[:64], Coding("rate", 8)).theta.items():
        assert np.allclose(theta.detach(), after[name].detach(), atol=0.02)


def test_timing_is_in_the_values_of_codes_that_count():
    """The first rectifier hears a constant and counts exactly; behind it counts differ from the rounded value somewhere."""
    student = Student(GRAPH, X[:64], Coding("rate", 8))
    ideal = Student(GRAPH, X[:64], Coding("wait", 8))
    with torch.no_grad():
        timed, exact = (s.forward(torch.as_tensor(X[:64])).values for s in (student, ideal))
    first, *others = student.theta
    assert torch.allclose(timed[first], exact[first], atol=1e-6)
    assert any(not torch.allclose(timed[name], exact[name], atol=1e-6) for name in others)


@pytest.mark.parametrize(("code", "timesteps"), [("graded", 1), ("radix", 5), ("rate", 8), ("signed", 8)])
def test_norms_begin_as_nothing_and_are_folded_as_they_trained(code, timesteps):
    """Before training the network is what it was; afterwards it computes what the student did on the statistics it settled on."""
    student = Student(GRAPH, X[:64], Coding(code, timesteps), norms=True)
    assert set(student.norms.shift) == {layer.name for layer in GRAPH.layers if mixes(layer) or layer.op == "conv"} - {"answer"}
    assert np.allclose(
        logits(student.graph(), X[:64]), logits(Student(GRAPH, X[:64], Coding(code, timesteps)).graph(), X[:64]), atol=1e-4
    )
    batch, optimiser = torch.as_tensor(X[64:128]), torch.optim.Adam(student.parameters(0.01))
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(student.forward(batch).values[student.output], torch.as_tensor(Y[64:128]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    student.settle([batch])
    folded = Student(student.graph(), X[:64], Coding(code, timesteps))
    with torch.no_grad():
        ours, theirs = (one.forward(batch).values[student.output] for one in (student, folded))
    assert float((ours - theirs).abs().mean()) < 0.02 * float(ours.abs().mean())  # values on an edge are rounded the other way
    moved = np.abs(student.graph()[student.weighted[0]].arrays["weight"] - GRAPH[student.weighted[0]].arrays["weight"])
    assert moved.max() > 1e-3


def test_settled_norms_have_the_mean_statistics_of_all_batches():
    student = Student(GRAPH, X[:64], Coding("graded"), norms=True)
    student.settle(torch.as_tensor(X[i : i + 60]) for i in range(0, 240, 60))
    first = student.weighted[0]
    layer = GRAPH[first]
    raw = torch.nn.functional.conv2d(torch.as_tensor(X), torch.as_tensor(np.array(layer.arrays["weight"])), padding=1)
    assert torch.allclose(student.norms.mean[first], raw.mean(dim=(0, 2, 3)), atol=1e-6)


@given(st.integers(0, 2**20))
def test_ones_of_binary_digits(number):
    assert int(ones(torch.tensor([float(number)]))) == number.bit_count()


@given(st.lists(st.integers(0, 40), max_size=14), st.integers(0, 3))
def test_without_channels_as_if_nothing_read_them(picked, seed):
    graph = learned(Residual(), X[:8], Y[:8], steps=0, seed=seed)
    groups = channel_groups(graph)
    removed = {int(groups.removable[i % len(groups.removable)]) for i in picked}
    smaller, kept = without(graph, groups, removed)
    layers = []
    for layer in graph.layers:
        if mixes(layer):
            weight = np.array(layer.arrays["weight"])
            gone = np.setdiff1d(np.arange(weight.shape[1]), kept[layer.inputs[0]])
            weight[:, gone] = 0
            layer = neuro.Layer(
                layer.name, layer.op, layer.inputs, layer.shape, {**layer.arrays, "weight": weight}, layer.options
            )
        layers.append(layer)
    assert np.allclose(logits(smaller, X[:8]), logits(graph.relayered(layers), X[:8]), atol=1e-5)
    assert all(layer.shape[0] == len(kept[layer.name]) for layer in smaller.layers)


def test_channels_of_a_skip_path_leave_together():
    groups = channel_groups(GRAPH)
    first, *_, last = (layer.name for layer in GRAPH.layers if layer.op == "relu" and layer.shape[0] == 8)
    assert np.array_equal(groups.of[first], groups.of[last])
    assert groups.fixed >= set(groups.of[GRAPH.inputs[0].name].tolist()) | set(groups.of[GRAPH.output.name].tolist())


def test_removed_channels_vanish_from_cores_and_counts():
    groups = channel_groups(GRAPH)
    removed = groups.removable[::2].tolist()
    smaller, _ = without(GRAPH, groups, removed)
    before, after = emulated(GRAPH, X[:40]), emulated(smaller, X[:40])
    assert after.placement.network.neurons < before.placement.network.neurons
    assert after.placement.network.synapses < before.placement.network.synapses
    assert after.run.updates < before.run.updates
    assert after.synops < before.synops


def test_dead_channels_are_removed_without_a_change():
    layers = []
    for layer in GRAPH.layers:
        if layer.name == next(one.name for one in GRAPH.layers if one.op == "conv" and one.shape[0] == 12):
            bias = np.array(layer.arrays["bias"])
            bias[[2, 5]] = -100
            layer = neuro.Layer(layer.name, layer.op, layer.inputs, layer.shape, {**layer.arrays, "bias": bias}, layer.options)
        layers.append(layer)
    graph = GRAPH.relayered(layers)
    groups = channel_groups(graph)
    reader = next(layer for layer in graph.layers if layer.op == "linear")
    dead = dead_groups(groups, read_entries(graph, X))
    assert set(groups.of[reader.inputs[0]][[2, 5]].tolist()) <= set(dead.tolist())
    smaller, _ = without(graph, groups, dead.tolist())
    assert np.allclose(logits(smaller, X), logits(graph, X), atol=1e-6)


@pytest.mark.parametrize("score", ["magnitude", "movement", "fisher"])
def test_scores_tell_a_channel_that_nothing_reads(score):
    last = next(layer for layer in GRAPH.layers if layer.op == "linear")
    weight = np.array(last.arrays["weight"])
    weight[:, 3] = 0
    unread = neuro.Layer(last.name, "linear", last.inputs, last.shape, {**last.arrays, "weight": weight}, last.options)
    graph = GRAPH.relayered(unread if layer.name == last.name else layer for layer in GRAPH.layers)
    groups = channel_groups(graph)
    scores = channel_scores(graph, groups, X[:64], Y[:64], score)
    assert scores[int(groups.of[last.inputs[0]][3])] == 0 == min(scores.values())
    by_weight = weight_scores(graph, X[:64], Y[:64], score)[last.name]
    assert by_weight.shape == weight.shape
    assert not by_weight[:, 3].any()


def test_movement_is_the_slope_of_the_loss_along_a_gate():
    groups = channel_groups(GRAPH)
    group = int(groups.removable[-1])
    found = channel_scores(GRAPH, groups, X[:64], Y[:64], "movement")[group]

    def loss(gate: float) -> float:
        layers = []
        for layer in GRAPH.layers:
            if mixes(layer):
                weight = np.array(layer.arrays["weight"], np.float64)
                weight[:, groups.of[layer.inputs[0]] == group] *= gate
                layer = neuro.Layer(
                    layer.name, layer.op, layer.inputs, layer.shape, {**layer.arrays, "weight": weight}, layer.options
                )
            layers.append(layer)
        answers = logits(GRAPH.relayered(layers), X[:64]).astype(np.float64)
        picked = answers[np.arange(64), Y[:64]]
        return float((np.log(np.exp(answers).sum(axis=1)) - picked).mean())

    assert found == pytest.approx(abs(loss(1.01) - loss(0.99)) / 0.02, rel=0.03, abs=1e-5)


def test_savings_of_all_groups_are_what_their_populations_spend():
    rounds = Rounds(GRAPH, Lesson(X, Y, X[:64]), CHIP, neuro.OptimiseSettings())
    priced = rounds.priced(rounds.start)
    saved = savings(channel_groups(GRAPH), priced)
    found = measures(priced.run, Y[: priced.run.run.samples])
    hosted = next(layer.send_pj for layer in found.layers if layer.name == GRAPH.inputs[0].name)
    sent, into = messages_of(priced.run), priced.prices.into
    arrivals = sum(float(each @ sent[source]) for (source, _), each in into.items() if source != GRAPH.inputs[0].name)
    twice = priced.dynamic_pj + arrivals - hosted  # what arrives goes with who sends, and with who receives
    assert sum(map(sum, saved.values())) == pytest.approx(twice, rel=1e-9)
    assert all(min(value) >= 0 for value in saved.values())


def test_training_brings_messages_to_their_target():
    rounds = Rounds(GRAPH, Lesson(X, Y, X[:64]), CHIP, neuro.OptimiseSettings(steps=200))
    priced = rounds.priced(rounds.start)
    whole = priced.messages_pj
    trained = rounds.trained(rounds.start, priced, 0.6 * whole, 1)
    assert rounds.priced(trained).messages_pj == pytest.approx(0.6 * whole, rel=0.15)
    assert row_of("graded").lossless
