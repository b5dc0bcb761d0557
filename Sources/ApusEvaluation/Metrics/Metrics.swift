/// How forecasts are scored. Pure functions on arrays; lower is better unless said otherwise.
///
/// A value that is NaN makes the score NaN: leave missing values out before scoring, and say how
/// many there were. Empty input and arrays of different length throw ``MetricError``.
public enum Metrics {}
