"""Makes distributions.json: special functions to full precision, from mpmath at 40 digits.

Run: python distributions.py > distributions.json
"""

import json
import platform

import mpmath as mp

mp.mp.dps = 40


def t_tail(x, nu):
    return mp.betainc(nu / 2, mp.mpf(1) / 2, 0, nu / (nu + x * x), regularized=True) / 2


def t_quantile(p, nu):
    tail = p if p < 0.5 else 1 - p
    guess = mp.mpf(1)
    while t_tail(guess, nu) > tail:
        guess *= 2
    low, high = mp.mpf(0), guess
    for _ in range(160):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, nu) > tail else (low, middle)
    return -low if p < 0.5 else low


def normal_quantile(p):
    return mp.sqrt(2) * mp.erfinv(2 * p - 1)


m = mp.mpf
levels = [1e-10, 1e-4, 0.01, 0.025, 0.1, 0.3, 0.45, 0.6, 0.9, 0.975, 0.999]
print(
    json.dumps(
        {
            "made_by": {"python": platform.python_version(), "mpmath": mp.__version__},
            "log_gamma": [[x, float(mp.loggamma(m(x)))] for x in [1e-3, 0.1, 0.5, 0.9, 1, 1.5, 2, 3.3, 10, 100.5, 1e4]],
            "beta": [
                [x, a, b, float(mp.betainc(m(a), m(b), 0, m(x), regularized=True))]
                for a, b in [(0.5, 0.5), (2, 3), (1.1, 0.5), (50, 0.5), (30.5, 70.25), (400, 600)]
                for x in [0.001, 0.1, 0.3, 0.41, 0.7, 0.99]
            ],
            "normal": [[x, float(mp.ncdf(m(x)))] for x in [-9, -3.3, -1, -0.1, 0, 0.5, 2, 5]],
            "normal_quantile": [[p, float(normal_quantile(m(p)))] for p in levels],
            "t": [
                [x, nu, float(t_tail(m(-x), m(nu)) if x < 0 else 1 - t_tail(m(x), m(nu)))]
                for nu in [1, 2.1, 3.7, 8, 30, 499]
                for x in [-30, -4, -1, -1e-3, 0.2, 1.5, 6]
            ],
            "t_quantile": [[p, nu, float(t_quantile(m(p), m(nu)))] for nu in [1, 2.1, 3.7, 8, 30, 499] for p in levels],
        },
        indent=None,
    )
)
