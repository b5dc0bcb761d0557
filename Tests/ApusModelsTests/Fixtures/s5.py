"""Writes s5.json: a layer of S5 by the equations of the paper (Smith et al., 2022, arXiv:2208.04933),
with all P states and not the half of them that conjugates leave, in NumPy and in double.

Usage: python3 s5.py > s5.json. Needs numpy.
"""

import json

import numpy as np
from math import erf

WIDTH, STATES, TIME = 3, 8, 7
random = np.random.default_rng(5)


def hippo(count):
    """Eigenvalues of the normal part of HiPPO-LegS."""
    root = np.sqrt(np.arange(count) + 0.5)
    matrix = -np.tril(np.outer(root, root), -1) + np.triu(np.outer(root, root), 1)
    return np.linalg.eigvals(matrix - 0.5 * np.eye(count))


def layer(u, w):
    """Pre-norm, state space, gate and residual connection of one sequence [T, D]."""
    centered = u - u.mean(-1, keepdims=True)
    x = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)
    x = x * w["norm.weight"] + w["norm.bias"]
    half = STATES // 2
    rates = w["seq.Lambda_re"] + 1j * w["seq.Lambda_im"]
    b = w["seq.B"][:half] + 1j * w["seq.B"][half:]
    c = w["seq.C"][:, :half] + 1j * w["seq.C"][:, half:]
    # All states: the kept ones and their conjugates.
    rates, steps = np.concatenate([rates, rates.conj()]), np.tile(np.exp(w["seq.log_step"]), 2)
    b, c = np.concatenate([b, b.conj()]), np.concatenate([c, c.conj()], axis=1)
    a = np.exp(rates * steps)
    b = ((a - 1) / rates)[:, None] * b
    state, rows = np.zeros(STATES, complex), []
    for row in x:
        state = a * state + b @ row
        y = c @ state
        assert np.abs(y.imag).max() < 1e-12
        rows.append(y.real + w["seq.D"] * row)
    g = np.vectorize(lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))))(np.array(rows))
    return u + g / (1 + np.exp(-(g @ w["out2.weight"].T + w["out2.bias"])))


def main():
    half = STATES // 2
    weights = {
        "norm.weight": 1 + 0.2 * random.normal(size=WIDTH),
        "norm.bias": 0.2 * random.normal(size=WIDTH),
        "seq.Lambda_re": -0.5 - 0.3 * random.random(half),
        "seq.Lambda_im": random.normal(size=half) * 3,
        "seq.log_step": random.uniform(-2, 0, half),
        "seq.B": random.normal(size=(STATES, WIDTH)),
        "seq.C": random.normal(size=(WIDTH, STATES)),
        "seq.D": random.normal(size=WIDTH),
        "out2.weight": random.normal(size=(WIDTH, WIDTH)),
        "out2.bias": random.normal(size=WIDTH),
    }
    u = random.normal(size=(TIME, WIDTH))
    after = {"weight": 1 + 0.2 * random.normal(size=WIDTH), "bias": 0.2 * random.normal(size=WIDTH)}
    y = layer(u, weights)
    centered = y - y.mean(-1, keepdims=True)
    y = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)
    y = y * after["weight"] + after["bias"]
    tensors = {f"layers.0.{k}": v for k, v in weights.items()}
    tensors |= {f"norm.{k}": v for k, v in after.items()}
    print(json.dumps({
        "input": u.ravel().tolist(), "output": y.ravel().tolist(),
        "weights": {k: {"shape": list(v.shape), "values": v.ravel().tolist()}
                    for k, v in tensors.items()},
        "frequencies": {str(n): sorted(x for x in hippo(n).imag.tolist() if x > 0)
                        for n in (2, 4, 8, 16)},
    }, indent=1))


if __name__ == "__main__":
    main()
