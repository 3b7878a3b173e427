"""Networks in use: queues against the formulas of queueing theory, duty against arithmetic by hand, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.errors import FormatError, UsageError
from neuro.machines.ownership import SECONDS_PER_YEAR, PriceList, read_prices
from neuro.serving.duty import duty, surely_less
from neuro.serving.load import load
from neuro.serving.queue import poisson, simulate
from neuro.serving.targets import Target, instance, machine_target
from neuro.serving.use import SCENARIOS, Use, parse_arrivals, parse_battery, parse_rate, parse_time

MANY = 80_000


def single(latency: float, **more: object) -> Target:
    return Target("one", (latency,), (latency,), (1e-6,), (0.01, 0.01), **more)


def waits(rate: float, service: float, devices: int = 1, *, exponential: bool = False, seed: int = 1) -> float:
    """Mean time in the queue, as simulated."""
    rng = np.random.default_rng(seed)
    stretch = rng.exponential(1.0, MANY) if exponential else None
    done = simulate(poisson(rate, MANY, rng), (service,), (service,), devices=devices, stretch=stretch)
    return float(done.latency_s.mean()) - service


@pytest.mark.parametrize("load_", [0.3, 0.6, 0.8])
def test_equal_services_wait_as_in_m_d_1(load_) -> None:
    expected = load_ / (2 * (1 - load_))  # Pollaczek and Khinchine, in units of the service
    assert waits(load_, 1.0) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("load_", [0.3, 0.6, 0.8])
def test_exponential_services_wait_as_in_m_m_1(load_) -> None:
    assert waits(load_, 1.0, exponential=True) == pytest.approx(load_ / (1 - load_), rel=0.08)


@pytest.mark.parametrize(("devices", "load_"), [(2, 0.7), (5, 0.8)])
def test_several_devices_wait_as_in_m_m_c(devices, load_) -> None:
    offered = devices * load_
    empty = sum(offered**k / math.factorial(k) for k in range(devices))
    last = offered**devices / math.factorial(devices) / (1 - load_)
    expected = last / (empty + last) / (devices - offered)  # Erlang's C
    assert waits(offered, 1.0, devices, exponential=True) == pytest.approx(expected, rel=0.06)


@given(
    st.lists(st.floats(0, 5), min_size=1, max_size=60),
    st.lists(st.floats(0.05, 3), min_size=1, max_size=4),
    st.integers(1, 3),
)
def test_a_queue_serves_everybody_in_order(gaps, latencies, devices) -> None:
    times = np.cumsum(gaps)
    done = simulate(times, latencies, latencies, devices=devices)
    assert done.batches.sum() == len(times)
    assert done.batches.max() <= len(latencies)
    assert (done.latency_s >= min(latencies) - 1e-9).all()
    assert done.busy_s == pytest.approx(sum(latencies[size - 1] for size in done.batches))
    assert done.busy_s <= devices * done.span_s + 1e-6
    more = simulate(times, latencies[:1], latencies[:1], devices=devices + 1)
    fewer = simulate(times, latencies[:1], latencies[:1], devices=devices)
    assert (more.latency_s <= fewer.latency_s + 1e-9).all()


def test_batches_form_where_requests_wait() -> None:
    done = simulate(np.zeros(100), (1.0, 1.1, 1.2, 1.3), (1.0, 1.1, 1.2, 1.3))
    assert done.batches.tolist() == [4] * 25
    assert done.latency_s.max() == pytest.approx(25 * 1.3)
    with pytest.raises(UsageError):
        simulate(np.zeros(1), (1.0,), (1.0,), devices=0)


def test_the_devices_that_a_deadline_needs() -> None:
    target = single(1.0)
    for rate in (0.5, 2.0, 7.5):
        found = load(target, rate, deadline_s=1.5)
        assert found.devices is not None
        assert found.p99_s is not None
        assert found.p99_s <= 1.5
        times = poisson(rate, 20_000, np.random.default_rng(0))
        if found.devices > 1:
            assert simulate(times, (1.0,), (1.0,), devices=found.devices - 1).quantile(0.99) > 1.5
        assert found.utilisation == pytest.approx(rate / found.devices, rel=0.05)
        joules = 1e-6 + 0.01 * found.devices / rate
        assert found.answer_j == pytest.approx((joules, joules), rel=0.05)
    late = load(target, 0.1, deadline_s=0.5)
    assert (late.devices, late.why) == (None, "one inference takes longer than the deadline")
    uneven = single(1.0, stretch=(0.1, 3.0))
    assert load(uneven, 0.1, deadline_s=0.5).why == "the longest samples miss the deadline on any number of devices"


def test_the_scenarios_of_mlperf() -> None:
    times = tuple(1e-3 + 1e-4 * size for size in range(1, 65))
    target = Target("gpu", times, times, tuple(1e-3 for _ in times), (5.0, 5.0))
    found = {name: load(target, name, deadline_s=0.02) for name in SCENARIOS}
    assert found["single-stream"].p99_s == pytest.approx(1.1e-3)
    assert found["multi-stream"].p99_s == pytest.approx(1.8e-3)
    assert found["offline"].rate_hz == pytest.approx(64 / 7.4e-3)
    assert found["offline"].answer_j == pytest.approx((1e-3 + 5 * 7.4e-3 / 64,) * 2)
    server = found["server"]
    assert server.p99_s == pytest.approx(0.02, rel=0.05)
    assert server.p99_s <= 0.02
    assert found["single-stream"].rate_hz < server.rate_hz < found["offline"].rate_hz
    spikes = single(1e-3)
    assert load(spikes, "multi-stream").p99_s == pytest.approx(8e-3)
    # M/D/1 at a load of 0.9: 99 of 100 within about 23 services (Erlang's formula); below that the deadline allows less
    assert load(spikes, "server", deadline_s=0.0235).rate_hz == pytest.approx(900, rel=0.03)
    assert load(spikes, "server", deadline_s=1e-4).devices is None


def test_duty_by_hand() -> None:
    target = single(0.02)
    found = duty(target, 10.0, battery_j=13_320.0)
    assert found.busy == pytest.approx(0.2)
    assert found.power_w == pytest.approx((0.01001, 0.01001))
    assert found.battery_days == pytest.approx((13_320 / 0.01001 / 86_400,) * 2)
    assert duty(target, 120.0).devices == 3
    unknown = Target("mcu", (0.02,), (0.02,), (4e-4,), (0.0, 0.02))
    assert duty(unknown, 10.0).power_w == pytest.approx((4e-3, 4e-3 + 0.02 * 0.8))
    asleep = Target("mcu", (0.02,), (0.02,), (4e-4,), (0.0, 0.02), sleep_w=1e-5, wake_s=1e-3)
    assert duty(asleep, 10.0).power_w == pytest.approx((4e-3 + 1e-5 * 0.79, 4e-3 + 0.02 * 0.01 + 1e-5 * 0.79))
    assert duty(asleep, 10.0).asleep
    nothing = Target("cpu", (0.02,), (0.02,), None, None)
    assert duty(nothing, 10.0).power_w is None
    less, perhaps = surely_less(duty(target, 10.0), [duty(one, 10.0) for one in (unknown, asleep, nothing)])
    assert less == duty(asleep, 10.0)
    assert perhaps == (duty(unknown, 10.0),)


def test_a_microcontroller_with_a_sleep_that_is_published_sleeps() -> None:
    """STM32U575: 8.95 uA at 3.3 V between its inferences; at one a second that decides what it draws at most."""
    target = machine_target(neuro.ready_workload("autoencoder"), neuro.load_machine("stm32u575"), 1)
    assert target.sleep_w == pytest.approx(8.95e-6 * 3.3, rel=2e-3)
    found = duty(target, 1.0)
    assert found.asleep
    assert found.power_w[1] < 0.05 * 0.0232  # what it draws running
    assert found.power_w[0] > target.sleep_w


@given(st.floats(1e-3, 200), st.floats(1e-4, 1), st.floats(0, 1), st.floats(1e-7, 1e-2))
def test_power_grows_with_the_rate_and_never_beyond_working_all_the_time(rate, latency, waiting, joule) -> None:
    target = Target("t", (latency,), (latency,), (joule,), (0.0, waiting))
    low, high = duty(target, rate), duty(target, 1.5 * rate)
    assert low.power_w is not None
    assert high.power_w is not None
    assert low.power_w[0] <= high.power_w[0]
    assert low.power_w[0] <= low.power_w[1] <= low.devices * (joule / latency + waiting) * (1 + 1e-9)


def test_ownership_by_hand(tmp_path) -> None:
    (tmp_path / "p.toml").write_text("life_years = 2\nelectricity_per_kwh = 0.36\npue = 1.5\n[capital]\none = 100\n")
    prices = read_prices(tmp_path / "p.toml")
    found = prices.per_million("one", 2, 50.0, 1.0)
    assert found is not None
    assert found["capital"] == pytest.approx(2 * 100 * (1e6 / 50) / (2 * SECONDS_PER_YEAR))
    assert found["electricity"] == pytest.approx(1e6 / 3.6e6 * 1.5 * 0.36)
    assert prices.per_million("other", 1, 1.0, 1.0) is None
    row = duty(single(0.02), 10.0, prices=prices)
    assert row.cost is not None
    assert row.cost["electricity"] == pytest.approx(0.01001 / 10 * 1e6 / 3.6e6 * 1.5 * 0.36)
    bad = {
        "life_years = 0\nelectricity_per_kwh = 1\n[capital]\none = 1": "life_years: it is 0",
        "life_years = 1\nelectricity_per_kwh = 1\n[capital]\none = -1": "capital: it is -1",
        "life_years = 1\nelectricity_per_kwh = 1": "no table of capital",
        'life_years = 1\nelectricity_per_kwh = "a"\n[capital]\n': "electricity_per_kwh is 'a'",
        "colour = 1\n[capital]\n": "there is no field 'colour'",
    }
    for text, said in bad.items():
        (tmp_path / "p.toml").write_text(text)
        with pytest.raises(FormatError, match=said):
            read_prices(tmp_path / "p.toml")
    with pytest.raises(UsageError, match="prices of x, capital"):
        PriceList({"x": -1.0}, 1, 1)


def test_an_instance_of_a_gpu_is_slower_than_the_whole_and_seven_are_not_faster() -> None:
    machine = neuro.load_machine("a100")
    work = neuro.ready_workload("resnet50")
    part = instance(machine)
    assert part is not None
    whole, one = machine_target(work, machine, 64), machine_target(work, part, 8)
    assert whole is not None
    assert one is not None
    assert one.latency_s[0] > whole.latency_s[0]
    assert 7 * one.answers_per_s < 1.2 * whole.answers_per_s
    assert instance(neuro.load_machine("xeon")) is None


def test_what_is_written_on_the_command_line(tmp_path) -> None:
    assert parse_rate("--rate", "6/min") == pytest.approx(0.1)
    assert parse_rate("--rate", "24/day") == pytest.approx(1 / 3600)
    assert parse_time("--deadline", "15ms") == pytest.approx(0.015)
    assert parse_battery("--battery", "1000mAh@3.7V") == parse_battery("--battery", "3.7Wh") == pytest.approx(13_320)
    (tmp_path / "trace.txt").write_text("5.0\n5.5\n7\n")
    assert parse_arrivals("--arrivals", str(tmp_path / "trace.txt")).tolist() == [0, 0.5, 2]
    for parse, text in (
        (parse_rate, "10"),
        (parse_rate, "0/s"),
        (parse_time, "15"),
        (parse_battery, "1000mAh"),
        (parse_arrivals, "x"),
    ):
        with pytest.raises(UsageError, match="Write"):
            parse("--option", text)
    for text, said in (
        ("1\n0\n", "not in order"),
        ("a\n", "no number"),
        ("1\n", "it has 1 requests"),
        ("1\n1\n", "not in order"),
    ):
        (tmp_path / "trace.txt").write_text(text)
        with pytest.raises(FormatError, match=said):
            parse_arrivals("--arrivals", str(tmp_path / "trace.txt"))
    for wrong in ({"battery_j": 1.0}, {"deadline_s": 1.0}, {"arrivals": "server"}, {"arrivals": "sever"}, {"rate_hz": 0.0}):
        with pytest.raises(UsageError):
            Use(**wrong)
