"""Costs of training, against cases worked out by hand and a simulation of failures."""

import math

import numpy as np
import pytest

from sslkit import scale


def test_one_device_by_hand():
    # 3,600,000 images at 1,000 a second are 3,600 s, which is an hour.
    found = scale.cost(36_000, 100, 1000, price=3, size=20_000)
    assert found == scale.Cost(1.0, 0.0, 0.0, 1.0, 3.0, 7.2e8, 2e7)


def test_several_devices_by_hand():
    # Ten devices at half of their speed are five: a fifth of an hour, or two in all.
    found = scale.cost(36_000, 100, 1000, 10, 0.5, price=3, size=20_000)
    assert found.hours == pytest.approx(0.2)
    assert found.device_hours == pytest.approx(2)
    assert found.price == pytest.approx(6)
    assert found.bandwidth == pytest.approx(1e8)
    assert found.storage == 7.2e8


def test_efficiency_concerns_several_devices_only():
    assert scale.cost(10, 1, 1.0, efficiency=0.5) == scale.cost(10, 1, 1.0)


def test_a_billion_images_by_hand():
    # 1e9 * 100 / (64 * 0.9 * 2000) s = 868,055.5... s.
    found = scale.cost(10**9, 100, 2000, 64, 0.9, size=1e5, mean_time=10_000)
    assert found.hours == pytest.approx(241.1265, abs=1e-4)
    assert found.failures == pytest.approx(1.54321, abs=1e-5)
    assert found.lost_hours == pytest.approx(0.128601, abs=1e-6)
    assert found.device_hours == pytest.approx(15440.3, abs=0.1)
    assert found.storage == 1e14


def test_work_that_is_lost_is_that_of_a_simulation():
    rng = np.random.default_rng(0)
    devices, mean_time, interval, hours = 50, 400.0, 0.5, 5000.0
    first = rng.exponential(mean_time, (2000, devices)).min(axis=1)
    times = np.cumsum(first)
    times = times[times < hours]
    found = scale.cost(
        *(int(hours * 3600), 1, 1 / devices, devices, 1.0),
        mean_time=mean_time,
        interval=interval,
    )
    assert found.hours == pytest.approx(hours)
    assert found.failures == pytest.approx(len(times), rel=0.1)
    assert found.lost_hours == pytest.approx((times % interval).sum(), rel=0.1)


def test_bytes_around_a_ring_are_those_of_a_simulation():
    devices, chunk = 4, 5  # each has 4 chunks of 5 numbers
    values = np.random.default_rng(0).normal(size=(devices, devices, chunk))
    state, sent = values.copy(), np.zeros(devices)
    for add in (True, False):  # first add up, then hand round
        for step in range(devices - 1):
            before = state.copy()
            for device in range(devices):
                number = (device - step + (not add)) % devices
                after = (device + 1) % devices
                if add:
                    state[after, number] += before[device, number]
                else:
                    state[after, number] = before[device, number]
                sent[device] += chunk * scale.FLOAT
    np.testing.assert_allclose(state, np.broadcast_to(values.sum(0), state.shape))
    assert scale.traffic(devices * chunk, devices) == sent[0] == sent.min()


def test_traffic_by_hand():
    assert scale.traffic(1000, 1, 50) == 0
    # 3/4 of (8,000 for parameters, 4 * 3 * 100 for what is gathered).
    assert scale.traffic(1000, 4, 100) == 6900
    assert scale.traffic(1000, 10**6) == pytest.approx(8000, rel=1e-5)


def test_network_by_hand():
    # 64 images at 256 a second take 0.25 s; a tenth of it, for 6,900 bytes.
    assert scale.network(1000, 4, 256, 256, 100) == pytest.approx(276_000)
    assert scale.network(1000, 1, 256, 256) == 0
    assert scale.network(1000, 4, 256, 256, 100, share=1) == pytest.approx(27_600)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 0}, "images must be an integer from 1, got 0"),
        ({"epochs": 1.5}, "epochs must be an integer from 1, got 1.5"),
        ({"devices": 0}, "devices must be an integer from 1, got 0"),
        ({"rate": 0}, "rate must be above 0 and finite, got 0"),
        ({"rate": math.inf}, "rate must be above 0"),
        ({"interval": -1}, "interval must be above 0"),
        ({"efficiency": 0}, "efficiency must be a share above 0 and at most 1, got 0"),
        ({"efficiency": 90}, "got 90: pass, say, 0.9 for 90 %"),
        ({"mean_time": 0}, "mean_time must be above 0 hours, got 0: pass math.inf"),
        ({"price": -1}, "price must be 0 or more, got -1"),
        ({"size": math.nan}, "size must be 0 or more, got nan"),
    ],
)
def test_cost_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        scale.cost(**({"images": 10, "epochs": 1, "rate": 1.0} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": 0}, "parameters must be an integer from 1, got 0"),
        ({"gathered": -1}, "gathered must be an integer from 0, got -1"),
        ({"batch": 10}, "batch must be a multiple of the 4 devices, got 10"),
        ({"batch": 0}, "batch must be an integer from 1"),
        ({"share": 0}, "share must be a share above 0"),
        ({"rate": -1}, "rate must be above 0"),
    ],
)
def test_network_refuses(changes, message):
    arguments = {"parameters": 10, "devices": 4, "rate": 1.0, "batch": 8}
    with pytest.raises(ValueError, match=message):
        scale.network(**(arguments | changes))
