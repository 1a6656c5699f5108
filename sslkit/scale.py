r"""What a training costs on many devices (page *From laptop to cluster*).

Arithmetic on what was measured on one device: `cost` for time, price, disk and losses,
`traffic` and `network` for what replicas have to tell one another. It knows nothing of
any machine; all that it is not told, such as waiting for data, is not in it.
"""

import math
from dataclasses import dataclass
from typing import Any

FLOAT = 4
"""Bytes of a float32, in which gradients and projections travel."""


@dataclass(frozen=True)
class Cost:
    """What `cost` returns.

    Attributes:
        hours: Hours of training, if nothing fails.
        failures: Failures of a device to be expected in that time.
        lost_hours: Hours that are done twice because of them, to be expected.
        device_hours: Hours that are paid for, `lost_hours` among them, times devices.
        price: The same in the currency of the price of an hour.
        storage: Bytes of all images.
        bandwidth: Bytes of images per second that training reads.
    """

    hours: float
    failures: float
    lost_hours: float
    device_hours: float
    price: float
    storage: float
    bandwidth: float


def cost(
    images: int,
    epochs: int,
    rate: float,
    devices: int = 1,
    efficiency: float = 1.0,
    price: float = 0.0,
    size: float = 0.0,
    mean_time: float = math.inf,
    interval: float = 1 / 6,
) -> Cost:
    r"""Time, price and disk of a training.

    With rate $v$ on one device, $R$ devices and efficiency $e$, the images per second
    are $e R v$; one device has $e = 1$. A failure stops all devices, since they wait
    for one another, and loses what was done after the last checkpoint: half an
    interval on average.

    Args:
        images: Number of images, at least 1.
        epochs: Passes over them, at least 1.
        rate: Images per second of one device, measured, above 0.
        devices: Number of devices, at least 1.
        efficiency: Share of `devices * rate` that several devices reach, above 0, at
            most 1.
        price: Price of a device for an hour, at least 0.
        size: Bytes of an image on disk, at least 0.
        mean_time: Mean hours between failures of one device, above 0. Of several
            devices the first one fails that many times as soon.
        interval: Hours between checkpoints, above 0. `sslkit.pretrain` lets ten
            minutes go by at most.

    Returns:
        A `Cost`. Failures while work is repeated are not counted.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> found = cost(1_000_000, 100, 2500, devices=4, efficiency=0.9)
        >>> f"{found.hours:.2f} h, {found.device_hours:.2f} device hours"
        '3.09 h, 12.35 device hours'
    """
    for name, number in (("images", images), ("epochs", epochs), ("devices", devices)):
        _whole(name, number)
    _above_zero("rate", rate)
    _above_zero("interval", interval)
    _share("efficiency", efficiency)
    if not mean_time > 0:
        raise ValueError(
            f"mean_time must be above 0 hours, got {mean_time!r}: pass math.inf for "
            "devices that never fail."
        )
    for name, value in (("price", price), ("size", size)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be 0 or more, got {value!r}.")
    speed = rate if devices == 1 else rate * devices * efficiency
    hours = images * epochs / speed / 3600
    failures = hours * devices / mean_time
    lost = failures * interval / 2
    device_hours = (hours + lost) * devices
    return Cost(
        hours=hours,
        failures=failures,
        lost_hours=lost,
        device_hours=device_hours,
        price=device_hours * price,
        storage=images * size,
        bandwidth=speed * size,
    )


def traffic(parameters: int, devices: int, gathered: int = 0) -> float:
    r"""Bytes that each device sends in a step of data parallelism.

    An all-reduce around a ring sends $2 (R - 1) / R$ times what is added up, a gather
    $(R - 1) / R$ times what is put together. Gradients of parameters are added up.
    Gathered numbers are put together, and their gradients are added up on the way back.

    Args:
        parameters: Trained parameters of all networks, at least 1.
        devices: Number R of devices, at least 1.
        gathered: Numbers that are gathered from all devices together, at least 0:
            with SimCLR $2 B p$, two projections of length p for each image.

    Returns:
        Bytes; 0 for one device.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> traffic(parameters=1000, devices=2)  # half of the 4,000 bytes, twice
        4000.0
    """
    _whole("parameters", parameters)
    _whole("devices", devices)
    _whole("gathered", gathered, least=0)
    return FLOAT * (devices - 1) / devices * (2 * parameters + 3 * gathered)


def network(
    parameters: int,
    devices: int,
    rate: float,
    batch: int,
    gathered: int = 0,
    share: float = 0.1,
) -> float:
    """Bytes per second that a device has to send, to lose but a share of its time.

    Args:
        parameters: As for `traffic`.
        devices: As for `traffic`.
        rate: Images per second of one device, measured, above 0.
        batch: Images per step on all devices together, a multiple of `devices`.
        gathered: As for `traffic`.
        share: Time to send, as a share of the time to compute, above 0, at most 1.

    Returns:
        Bytes per second, one way; 0 for one device.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> network(1000, devices=2, rate=500, batch=1000)  # 4,000 bytes in 0.1 s
        40000.0
    """
    _above_zero("rate", rate)
    _share("share", share)
    _whole("batch", batch)
    sent = traffic(parameters, devices, gathered)
    if batch % devices:
        raise ValueError(
            f"batch must be a multiple of the {devices} devices, got {batch}: each "
            "gets an equal part."
        )
    return sent / (share * batch / devices / rate)


def _whole(name: str, value: Any, least: int = 1) -> None:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer from {least}, got {value!r}.")


def _above_zero(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be above 0 and finite, got {value!r}.")


def _share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(
            f"{name} must be a share above 0 and at most 1, got {value!r}: pass, say, "
            "0.9 for 90 %."
        )
