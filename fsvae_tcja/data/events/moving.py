"""Events of shapes that move over a sensor.

The scene is a bright or dark shape on a plain ground. A pixel fires ON when it becomes brighter, OFF when darker. The
sensor is a torus: what leaves it on one side enters on the other, so that every position is as likely at any time.

Run backwards, a scene shows the opposite direction, and each event happens with the other polarity; with the other
contrast too, polarities are as before. So the events of (direction, contrast), in reverse order, are exactly those of
(opposite direction, opposite contrast): a set of events taken out of time tells nothing of the direction.
"""

from collections.abc import Callable

import numpy as np

from .recording import make_events

DURATION = 102_400  # microseconds of a recording
STEPS = 64  # moments at which the scene is looked at; a power of two, so that it is symmetric in time exactly

Inside = Callable[[np.ndarray, np.ndarray, float], np.ndarray]  # rows and columns from the centre, radius
SHAPES: dict[str, Inside] = {
    "square": lambda dy, dx, r: np.maximum(abs(dy), abs(dx)) <= r,
    "disc": lambda dy, dx, r: dy**2 + dx**2 <= r**2,
    "diamond": lambda dy, dx, r: abs(dy) + abs(dx) <= r,
    "cross": lambda dy, dx, r: (np.maximum(abs(dy), abs(dx)) <= r) & (np.minimum(abs(dy), abs(dx)) <= r / 3),
    "ring": lambda dy, dx, r: (dy**2 + dx**2 <= r**2) & (dy**2 + dx**2 >= r**2 / 4),
}
HEADINGS = {  # unit steps in rows and columns
    "right": (0.0, 1.0),
    "left": (0.0, -1.0),
    "up": (-1.0, 0.0),
    "down": (1.0, 0.0),
    "up right": (-(0.5**0.5), 0.5**0.5),
    "down left": (0.5**0.5, -(0.5**0.5)),
    "up left": (-(0.5**0.5), -(0.5**0.5)),
    "down right": (0.5**0.5, 0.5**0.5),
}


def moving_shape(
    shape: str,
    radius: float,
    centre: tuple[float, float],
    travel: tuple[float, float],
    bright: bool,
    size: tuple[int, int],
) -> np.ndarray:
    """The events of one shape that passes `centre` halfway, at constant speed.

    Args:
        shape: a name of SHAPES.
        radius: in pixels; the shape must fit on the sensor.
        centre: row and column.
        travel: rows and columns from beginning to end.
        bright: brighter than the ground, or darker.
        size: (H, W) of the sensor.

    Returns:
        events [n] of type EVENT, in order of time, from 0 to DURATION.
    """
    assert 2 * radius + 2 < min(size)
    moments = np.arange(STEPS + 1) / STEPS - 0.5
    dy, dx = (_offsets(c, way, radius, moments) for c, way in zip(centre, travel, strict=True))
    inside = SHAPES[shape](dy[:, :, None], dx[:, None, :], radius)  # [STEPS + 1, rows, columns]
    change = np.diff(inside.astype(np.int8), axis=0)
    step, row, column = change.nonzero()
    brighter = (change[step, row, column] > 0) == bright
    y, x = (_pixels(c, way, radius) for c, way in zip(centre, travel, strict=True))
    t = (2 * step + 1) * (DURATION // (2 * STEPS))
    return make_events(x[column] % size[1], y[row] % size[0], t, brighter)


def _pixels(centre: float, way: float, radius: float) -> np.ndarray:
    """The rows, or columns, that a shape may touch on its way; not yet wrapped around the sensor."""
    reach = int(radius + abs(way) / 2) + 1
    return int(centre) + np.arange(-reach, reach + 2)


def _offsets(centre: float, way: float, radius: float, moments: np.ndarray) -> np.ndarray:
    """Distance of those rows, or columns, from the shape at each moment [STEPS + 1, n]."""
    return _pixels(centre, way, radius) - (centre + way * moments[:, None])


def record(
    heading: str, shape: str, radius: float, rng: np.random.Generator, size: tuple[int, int], noise: float = 0.3
) -> np.ndarray:
    """A recording of a shape with random place, contrast and speed, random times within each step, and noise.

    Every random quantity is independent of the heading, and its distribution is symmetric in time.

    Args:
        heading: a name of HEADINGS.
        shape: a name of SHAPES.
        radius: in pixels.
        rng: draws everything.
        size: (H, W) of the sensor.
        noise: stray events for each event of the shape, uniform over pixels, time and polarity.
    """
    length = rng.uniform(0.2, 0.7) * min(size)
    centre = tuple(rng.uniform(0, size))
    travel = tuple(length * step for step in HEADINGS[heading])
    events = moving_shape(shape, radius, centre, travel, bool(rng.random() < 0.5), size)
    half = DURATION // (2 * STEPS)
    events["t"] += rng.integers(-half + 1, half, len(events))
    n = rng.poisson(noise * len(events))
    x, y = rng.integers(size[1], size=n), rng.integers(size[0], size=n)
    stray = make_events(x, y, rng.integers(1, DURATION, n), rng.integers(2, size=n))
    events = np.concatenate([events, stray])
    return events[np.argsort(events["t"], kind="stable")]
