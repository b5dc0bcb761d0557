"""Writes the sample series of Samples/ from the Python package `arch`.

Usage: make-samples.py [FOLDER]        (Samples by default)
Needs: pip install arch==8.0.0. The project itself needs no Python; its output is committed.
"""

import importlib
import pathlib
import sys

import arch
import numpy
import pandas

SHORTEST, LARGEST = 5000, 1_000_000  # rows, bytes


def bars(name: str) -> pandas.DataFrame:
    """Daily bars of an index. The source holds prices as 32-bit floats printed in full; they were
    published with two decimals, which is what is written here."""
    source = importlib.import_module(f"arch.data.{name}").load()
    assert (source["Close"] == source["Adj Close"]).all(), "an index has nothing to adjust"
    table = source[["Open", "High", "Low", "Close", "Volume"]].rename(columns=str.lower)
    prices = ["open", "high", "low", "close"]
    rounded = table[prices].round(2)
    exact = numpy.abs(table[prices] / rounded - 1).to_numpy().max()
    assert exact < 1e-5, f"rounding {name} changes a price by a share of {exact}"
    shift = (numpy.log(rounded["close"]).diff() - numpy.log(table["close"]).diff()).abs().max()
    print(f"{name}: rounding moves a price by at most {exact:.1e} of itself, "
          f"a daily log return by at most {shift:.1e}")
    table[prices] = rounded
    return table


def oil() -> pandas.DataFrame:
    """Daily spot price of West Texas Intermediate; a day without a quotation has an empty cell."""
    source = importlib.import_module("arch.data.wti").load()
    return source.rename(columns={"DCOILWTICO": "price"}).round(2)


def main(folder: pathlib.Path) -> None:
    print(f"arch {arch.__version__}, pandas {pandas.__version__}, numpy {numpy.__version__}")
    for name, table in {"sp500": bars("sp500"), "nasdaq": bars("nasdaq"), "wti": oil()}.items():
        assert len(table) > SHORTEST and table.index.is_monotonic_increasing
        assert table.index.is_unique
        path = folder / f"{name}.csv"
        table.index.name = "date"
        table.to_csv(path, float_format="%.2f", date_format="%Y-%m-%d", lineterminator="\n")
        assert path.stat().st_size < LARGEST
        print(f"{path.name}: {len(table)} rows, {table.index[0]:%Y-%m-%d} to "
              f"{table.index[-1]:%Y-%m-%d}, {int(table.isna().sum().sum())} empty cells, "
              f"{path.stat().st_size} bytes")
        if "high" in table:
            print("  high below open or close:",
                  int((table["high"] < table[["open", "close"]].max(axis=1)).sum()),
                  "low above:", int((table["low"] > table[["open", "close"]].min(axis=1)).sum()),
                  "zero volume:", int((table["volume"] == 0).sum()))
            print("  opens equal to the close before:",
                  int((table["open"] == table["close"].shift()).sum()))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "Samples"))
