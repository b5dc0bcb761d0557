"""Makes garch.json: a seeded GARCH(1,1)-t series and what Python's arch estimates on it.

Run: python garch.py > garch.json
The series is integers of 1e-4, so that JSON carries it exactly.
"""

import json
import platform

import arch
import numpy as np
import scipy
from arch import arch_model
from scipy.special import betainc, gammaln
from scipy.stats import norm, t

rng = np.random.default_rng(20240229)
count, burn = 1500, 500
mu, omega, alpha, beta, nu = 0.05, 0.02, 0.09, 0.89, 6.0
variance, values = 1.0, []
for _ in range(count + burn):
    error = np.sqrt(variance) * rng.standard_t(nu) * np.sqrt((nu - 2) / nu)
    values.append(mu + error)
    variance = omega + (alpha + (0.06 if error < 0 else -0.03)) * error**2 + beta * variance
ticks = [int(round(1e4 * v)) for v in values[burn:]]
returns = np.array(ticks) / 1e4


def fit(leverage, volatility="GARCH"):
    model = arch_model(returns, mean="Constant", vol=volatility, p=1, o=leverage, q=1, dist="t", rescale=False)
    best = model.fit(disp="off", tol=1e-12, options={"maxiter": 2000})
    # Beyond one step arch simulates the exponential form.
    steps = 1 if volatility == "EGARCH" else 5
    ahead = best.forecast(horizon=steps, reindex=False).variance.values[-1]
    return {
        "mu": best.params["mu"],
        "omega": best.params["omega"],
        "alpha": best.params["alpha[1]"],
        "gamma": best.params.get("gamma[1]", 0.0),
        "beta": best.params["beta[1]"],
        "nu": best.params["nu"],
        "log_likelihood": best.loglikelihood,
        "variance_ahead": list(ahead),
    }


print(
    json.dumps(
        {
            "made_by": {
                "python": platform.python_version(),
                "arch": arch.__version__,
                "numpy": np.__version__,
                "scipy": scipy.__version__,
            },
            "ticks": ticks,
            "garch": fit(0),
            "gjr": fit(1),
            "egarch": fit(1, "EGARCH"),
        }
    )
)
