"""The constants of a LIF neuron in the form that the kernels take.

Flags are folded into numbers, so that one kernel without a branch serves every combination:

    fired  = u > threshold          threshold = v_th (strict), or the float32 below v_th
    v      = keep u - drop  (fired) keep, drop = 0, 0 (hard reset) or 1, v_th (soft reset)
             u              (silent)
    dv/ds  = -through (u - (keep u - drop)),  through = 0 (detached reset) or 1
    ds/du  = derivative(|u - centre|, a, b)
"""

from typing import NamedTuple

import numpy as np


class Constants(NamedTuple):
    threshold: float
    decay: float
    gain: float
    keep: float
    drop: float
    through: float
    centre: float
    a: float
    b: float


def constants(params) -> Constants:
    """The numbers for `params`, a LIFParams."""
    v_th = np.float32(params.v_th)
    surrogate = params.surrogate
    return Constants(
        threshold=float(v_th if params.strict else np.nextafter(v_th, np.float32(-np.inf))),
        decay=params.decay,
        gain=params.gain,
        keep=0.0 if params.hard_reset else 1.0,
        drop=0.0 if params.hard_reset else params.v_th,
        through=0.0 if params.detach_reset else 1.0,
        centre=params.v_th if surrogate.centre is None else surrogate.centre,
        a=surrogate.constants[0],
        b=surrogate.constants[1],
    )
