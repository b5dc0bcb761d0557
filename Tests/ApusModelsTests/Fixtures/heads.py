"""Makes heads.json: likelihoods of the heads with their gradients, and quantiles, in double precision.

Values and gradients by torch (lgamma and its derivative, logsumexp), quantiles by scipy. The parameters come from
the free outputs as Sources/ApusTensor/Operations/Likelihoods.swift says.

Run: python heads.py > heads.json
Needs: pip install torch==2.13.0 scipy==1.17.1
"""

import json
import math
import platform

import numpy as np
import scipy
import torch
from scipy import optimize, stats

LEVELS = [0.01, 0.05, 0.25, 0.5, 0.8, 0.95, 0.999]


def softplus(x):
    return torch.nn.functional.softplus(x, threshold=40)


def student_t(x):
    return x[0].clamp(-1e6, 1e6), 1e-4 + softplus(x[1]).clamp(max=1e6), 2.01 + softplus(x[2]).clamp(max=1000)


def mixture(x):
    k = len(x) // 3
    return torch.log_softmax(x[:k], 0), x[k : 2 * k].clamp(-1e6, 1e6), 1e-4 + softplus(x[2 * k :])


def counts(x, unit):
    mean = unit * (1e-6 + softplus(x[0]).clamp(max=1e6))
    return mean, (softplus(x[1]).clamp(max=1e3) / math.sqrt(unit)).clamp(min=1e-6), torch.sigmoid(x[2])


def case(family, x, target, unit=1.0):
    # The outputs are floats of 32 bits; so is what is computed from them.
    x = torch.tensor(np.float32(x).astype(float), requires_grad=True)
    y = float(np.float32(target))
    if family == "student-t":
        location, scale, nu = student_t(x)
        z = (y - location) / scale
        loss = (torch.lgamma(nu / 2) - torch.lgamma((nu + 1) / 2) + 0.5 * torch.log(nu * math.pi)
                + torch.log(scale) + (nu + 1) / 2 * torch.log1p(z * z / nu))
        found = stats.t.ppf(LEVELS, nu.item(), location.item(), scale.item())
    elif family == "mixture":
        logs, locations, scales = mixture(x)
        z = (y - locations) / scales
        loss = -torch.logsumexp(logs - torch.log(scales) - z * z / 2, 0) + 0.5 * math.log(2 * math.pi)
        weights, m, s = (t.detach().numpy() for t in (logs.exp(), locations, scales))
        ends = m.min() - 40 * s.max(), m.max() + 40 * s.max()
        found = [
            optimize.brentq(lambda v: (weights * stats.norm.cdf(v, m, s)).sum() - p, *ends, xtol=1e-13, rtol=1e-14)
            for p in LEVELS
        ]
    else:
        mean, dispersion, none = counts(x, unit)
        count, r = round(y * unit), 1 / dispersion
        over = dispersion * mean
        loss = (torch.lgamma(r) + math.lgamma(count + 1) - torch.lgamma(count + r) + r * torch.log1p(over)
                + count * torch.log1p(1 / over))
        loss = -torch.log((none if count == 0 else 0) + (1 - none) * torch.exp(-loss))
        levels = [(p - none.item()) / (1 - none.item()) for p in LEVELS]
        found = [stats.nbinom.ppf(max(p, 0), r.item(), 1 / (1 + over.item())) for p in levels]
        found = [max(v, 0) for v in found]
    loss.backward()
    return {
        "family": family, "outputs": [float(v) for v in x.detach()], "target": y, "unit": unit,
        "loss": loss.item(), "gradient": [float(v) for v in x.grad], "quantiles": [float(v) for v in found],
    }


cases = [
    case("student-t", [a, b, c], y)
    for a, b, c, y in [
        (0, 0, 0, 0), (0.3, -1, 2, 1.7), (-2, 1.5, -3, 4), (5, -4, 6, 4.9), (0, 0.5, -8, -30), (1, -9, 40, 1.001),
        (0.1, 3, 100, -2), (-0.4, 0.2, 900, 0.6), (2, 0, 1, 1e5),
    ]
] + [
    case("mixture", x, y)
    for x, y in [
        ([0.7, 0.2, -1], 0.5), ([0, 0, -1, 1, 0, 0], 0.1), ([0, 1, -1, -1, 0.2, 2, 0.3, -2, 1], 0.15),
        ([2, -3, 0.5, -6, 0, 7, -3, -4, 0.1], 6.9), ([0, 0, 0, 0.1, 0.1, 0.1, -1, 0, 2], 40),
        ([-30, 0, 0, 3, 0, 1, 1, -8, 0.5], 2), ([0.1] * 4 + [-3, -1, 1, 3] + [-0.4] * 4, -1.2),
    ]
] + [
    case("counts", x, count / unit, unit)
    for x, count, unit in [
        ([0, 0, -2], 0, 1), ([0.5, -1, 0], 3, 1), ([-2, 0.3, 1], 0, 1.5), ([1, 1, -1], 7, 4),
        ([-0.5, -3, -3], 120, 130), ([0.6, -6, -9], 950, 1000), ([2, 2, 3], 1, 25), ([0.2, -12, -2], 40, 37),
        ([-6, 4, -1], 2, 1.25), ([0.5, -20, 0.5], 5, 6), ([3, 6, -4], 0, 50), ([1, 0, -30], 9000, 8000),
        ([1, 0, 12], 0, 3),
    ]
]
print(json.dumps({
    "made_by": {"python": platform.python_version(), "torch": torch.__version__, "scipy": scipy.__version__},
    "levels": LEVELS, "cases": cases,
}))
