"""Makes baselines.json: what statsforecast, statsmodels and LightGBM make of simulated series.

Run: python baselines.py > baselines.json
The series are integers, so that JSON carries them exactly.
"""

import json
import platform
import warnings

import lightgbm
import numpy as np
import statsforecast
import statsmodels
from statsforecast.arima import ArimaMethod, arima, auto_arima_f, predict_arima
from statsforecast.models import (
    AutoETS,
    CrostonClassic,
    CrostonSBA,
    DynamicOptimizedTheta,
    DynamicTheta,
    OptimizedTheta,
    TSB,
    Theta,
)
from statsmodels.tsa.seasonal import STL
from statsmodels.tsa.stattools import kpss

warnings.filterwarnings("ignore")
rng = np.random.default_rng(20260309)


def sales(count=96):
    """A growing level times a season of twelve."""
    season = 1 + 0.25 * np.sin(2 * np.pi * np.arange(12) / 12) + 0.05 * rng.standard_normal(12)
    level, values = 800.0, []
    for step in range(count):
        level *= 1 + 0.006 + 0.01 * rng.standard_normal()
        values.append(level * season[step % 12] * (1 + 0.02 * rng.standard_normal()))
    return np.round(values)


def balance(count=80):
    """A wandering level with an additive season of four, on both sides of zero."""
    level, values = 0.0, []
    for step in range(count):
        level += 20 * rng.standard_normal()
        values.append(level + [60, -25, 40, -75][step % 4] + 15 * rng.standard_normal())
    return np.round(values)


def process(count=200):
    """A stationary process with an autoregression and a moving average."""
    past, shock, values = 0.0, 0.0, []
    for _ in range(count):
        new = 100 * rng.standard_normal()
        past = 0.7 * past + new + 0.4 * shock
        shock = new
        values.append(500 + past)
    return np.round(values)


def walk(count=150):
    """Rises by five a step, with correlated changes."""
    level, change, values = 1000.0, 0.0, []
    for _ in range(count):
        change = 0.5 * change + 10 * rng.standard_normal()
        level += 5 + change
        values.append(level)
    return np.round(values)


def demand(count=70):
    """Some pieces, now and then."""
    return np.where(rng.random(count) < 0.3, rng.integers(1, 9, count), 0).astype(float)


series = {"sales": sales(), "balance": balance(), "process": process(), "walk": walk()}
seasons = {"sales": 12, "balance": 4, "process": 1, "walk": 1}


def smoothing(name, form, damped=None):
    fit = AutoETS(season_length=seasons[name], model=form, damped=damped).fit(series[name])
    model = fit.model_
    alpha, beta, gamma, phi = (None if np.isnan(x) else float(x) for x in model["par"][:4])
    has_trend = model["components"][1] != "N"
    # The last state of the list is the season's oldest; ours starts with the next to come.
    start = list(map(float, model["states"][0]))
    return {
        "series": name,
        "form": model["method"],
        "alpha": alpha,
        "beta": beta if has_trend else None,
        "gamma": gamma if model["components"][2] != "N" else None,
        "phi": phi if model["components"][3] == "D" else None,
        "level": start[0],
        "trend": start[1] if has_trend else 0.0,
        "season": start[(2 if has_trend else 1) :][::-1],
        "log_likelihood": float(model["loglik"]),
        "aicc": float(model["aicc"]),
        "forecast": list(map(float, fit.predict(8)["mean"])),
    }


def theta(name, kind, make, season):
    fit = make(season_length=season).fit(series[name])
    par = fit.model_["par"]
    return {
        "series": name,
        "kind": kind,
        "season": season,
        "alpha": float(par["alpha"]),
        "theta": float(par["theta"]),
        "squared_error": float(np.nansum(np.square(fit.model_["residuals"]))),
        "forecast": list(map(float, fit.predict(8)["mean"])),
    }


def autoregression(name, order, seasonal, constant):
    values, period = series[name], seasons[name]
    drift = None
    if constant and order[1] + seasonal[1] == 1:
        drift = np.arange(1, values.size + 1, dtype=np.float64).reshape(-1, 1)
    fit = arima(
        values,
        order,
        {"order": seasonal, "period": period},
        xreg=drift,
        include_mean=constant and drift is None,
        method=ArimaMethod.CSS_ML,
        optim_control={"maxiter": 2000},
    )
    coefficients = list(fit["coef"].items())
    ahead = None
    if drift is not None:
        ahead = np.arange(values.size + 1, values.size + 9, dtype=np.float64).reshape(-1, 1)
    return {
        "series": name,
        "order": list(order),
        "seasonal": list(seasonal),
        "constant": constant,
        "phi": list(map(float, fit["model"]["phi"])),
        "theta": list(map(float, fit["model"]["theta"])),
        # A drift of one step is a mean of the seasonal difference m times as large.
        "mean": float(coefficients[-1][1]) * (period if drift is not None and seasonal[1] else 1)
        if constant
        else 0.0,
        "variance": float(fit["sigma2"]),
        "log_likelihood": float(fit["loglik"]),
        "forecast": list(map(float, predict_arima(fit, 8, newxreg=ahead)[0])),
    }


def chosen_order(name):
    fit = auto_arima_f(series[name], period=seasons[name], approximation=False)
    p, q, P, Q, m, d, D = fit["arma"]
    return {"series": name, "order": [p, d, q], "seasonal": [P, D, Q], "aicc": float(fit["aicc"])}


def trees():
    """A step, a slope and noise: errors of LightGBM on rows that it has not seen."""
    x = rng.integers(0, 1000, (1200, 4))
    y = np.round(np.where(x[:, 0] > 400, 300, 0) + 0.5 * x[:, 1] + 50 * rng.standard_normal(1200))
    options = {
        "objective": "regression", "max_depth": 4, "num_leaves": 16, "max_bin": 255, "verbose": -1,
        "min_data_in_leaf": 10, "min_sum_hessian_in_leaf": 0, "lambda_l2": 1, "learning_rate": 0.1,
        "deterministic": True, "num_threads": 1, "min_data_in_bin": 1,
    }
    rows = lightgbm.Dataset(x[:900], y[:900], params={"verbose": -1})
    model = lightgbm.train(options, rows, num_boost_round=60)

    def error(part):
        return float(np.sqrt(np.mean((model.predict(x[part]) - y[part]) ** 2)))

    return {
        "columns": x.T.tolist(),
        "outputs": list(map(int, y)),
        "seen_error": error(slice(0, 900)),
        "unseen_error": error(slice(900, None)),
    }


def parts():
    fit = STL(series["sales"], period=12, seasonal=11, seasonal_deg=0).fit(inner_iter=2, outer_iter=0)
    return {"trend": fit.trend.tolist(), "season": fit.seasonal.tolist()}


pieces = demand()
found = {
    "made_by": {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "statsforecast": statsforecast.__version__,
        "statsmodels": statsmodels.__version__,
        "lightgbm": lightgbm.__version__,
    },
    "series": {name: list(map(int, values)) for name, values in series.items()},
    "smoothing": [
        smoothing("sales", "MAM"),
        smoothing("sales", "MAM", True),
        smoothing("sales", "MNA"),
        smoothing("sales", "AAA", False),
        smoothing("balance", "ANA"),
        smoothing("balance", "AAA", True),
        smoothing("walk", "MAN", False),
        smoothing("walk", "AAN", True),
        smoothing("process", "ANN"),
    ],
    "chosen_smoothing": [smoothing(name, "ZZZ") for name in series],
    "theta": [
        theta(name, kind, make, season)
        for name, season in [("sales", 12), ("walk", 1), ("process", 1)]
        for kind, make in [
            ("theta", Theta),
            ("optimized-theta", OptimizedTheta),
            ("dynamic-theta", DynamicTheta),
            ("dynamic-optimized-theta", DynamicOptimizedTheta),
        ]
    ],
    "arima": [
        autoregression("process", (1, 0, 1), (0, 0, 0), True),
        autoregression("process", (3, 0, 0), (0, 0, 0), True),
        autoregression("process", (0, 0, 2), (0, 0, 0), True),
        autoregression("walk", (1, 1, 0), (0, 0, 0), True),
        autoregression("walk", (3, 1, 0), (0, 0, 0), False),
        autoregression("sales", (0, 1, 1), (0, 1, 1), False),
        autoregression("sales", (1, 0, 0), (1, 1, 0), True),
        autoregression("balance", (1, 0, 1), (0, 1, 1), False),
    ],
    "chosen_arima": [chosen_order(name) for name in series],
    "kpss": {
        name: float(kpss(values, regression="c", nlags=int(3 * np.sqrt(values.size) / 13))[0])
        for name, values in series.items()
    },
    "stl": parts(),
    "demand": list(map(int, pieces)),
    "intermittent": {
        "croston": float(CrostonClassic().forecast(y=pieces, h=1)["mean"][0]),
        "croston-sba": float(CrostonSBA().forecast(y=pieces, h=1)["mean"][0]),
        "tsb": float(TSB(0.1, 0.1).forecast(y=pieces, h=1)["mean"][0]),
    },
    "trees": trees(),
}
print(json.dumps(found))
