/// How forecasts of a stream are written, a line for each. Thousands of them a second are, so that texts
/// are put together byte by byte.
public struct LineFormat: Sendable {
  private let name: String
  private let levels: [Double]
  private let horizon: Int
  private let columns: [(name: String, quantile: Int)]
  private let levelsText: [UInt8]

  init(model: String, levels: [Double], horizon: Int) {
    (name, self.levels, self.horizon) = (model, levels, horizon)
    columns = ForecastColumns(model: model, levels: levels).all
    var text: [UInt8] = []
    text.append(numbers: levels)
    levelsText = text
  }

  // MARK: JSON

  /// A forecast as an object in one line: `unique_id` where the series has a name, `cutoff`, `ds`,
  /// `levels`, `quantiles` `[P][Q]` or null, `anomaly` and `drift` or null; `reason` where a row ahead is
  /// not known.
  ///
  /// - Returns: UTF-8 without the end of the line.
  public func json(_ forecast: LineForecast) -> [UInt8] {
    var line: [UInt8] = []
    line.reserveCapacity(64 * (horizon + 1) + 20 * horizon * levels.count)
    line += #"{"anomaly":"#.utf8
    line.append(number: forecast.anomaly)
    line += #","cutoff":"#.utf8
    line.append(json: forecast.cutoff)
    line += #","drift":"#.utf8
    line.append(number: forecast.drift)
    line += #","ds":["#.utf8
    for (index, text) in forecast.ds.enumerated() {
      if index > 0 { line.append(UInt8(ascii: ",")) }
      line.append(json: text)
    }
    line += #"],"levels":"#.utf8
    line += levelsText
    line += #","quantiles":"#.utf8
    if let quantiles = forecast.quantiles {
      for (index, step) in quantiles.enumerated() {
        line.append(UInt8(ascii: index == 0 ? "[" : ","))
        line.append(numbers: step)
      }
      line.append(UInt8(ascii: "]"))
    } else {
      line += "null".utf8
    }
    if let reason = forecast.reason {
      line += #","reason":"#.utf8
      line.append(json: reason)
    }
    if let id = forecast.uniqueId {
      line += #","unique_id":"#.utf8
      line.append(json: id)
    }
    line.append(UInt8(ascii: "}"))
    return line
  }

  // MARK: CSV

  /// The header of `csv(_:)`: `unique_id`, `cutoff`, `anomaly`, `drift`, then for each step ahead the
  /// columns of ``FutureForecast/csv(guardsFormulas:)`` with the step in their name, as `mamba-1`,
  /// `mamba-1-lo-90`.
  public var csvHeader: String {
    let steps = (1...horizon).flatMap { step in
      ForecastColumns(model: "\(name)-\(step)", levels: levels).all.map(\.name)
    }
    return (["unique_id", "cutoff", "anomaly", "drift"] + steps).joined(separator: ",")
  }

  /// A forecast as one line; cells are empty where there is none yet. Names are guarded as by
  /// ``FutureForecast/csv(guardsFormulas:)``.
  ///
  /// - Returns: UTF-8 without the end of the line.
  public func csv(_ forecast: LineForecast, guardsFormulas: Bool = true) -> [UInt8] {
    var line: [UInt8] = []
    line.reserveCapacity(64 + 20 * horizon * columns.count)
    line += csvField(forecast.uniqueId ?? "", guardsFormulas: guardsFormulas).utf8
    line.append(UInt8(ascii: ","))
    line += forecast.cutoff.utf8
    for number in [forecast.anomaly, forecast.drift] {
      line.append(UInt8(ascii: ","))
      if let number { line += "\(number)".utf8 }
    }
    for step in 0..<horizon {
      for column in columns {
        line.append(UInt8(ascii: ","))
        if let quantiles = forecast.quantiles { line += "\(quantiles[step][column.quantile])".utf8 }
      }
    }
    return line
  }
}

extension [UInt8] {
  fileprivate mutating func append(numbers: [Double]) {
    append(UInt8(ascii: "["))
    for (index, number) in numbers.enumerated() {
      if index > 0 { append(UInt8(ascii: ",")) }
      append(number: number)
    }
    append(UInt8(ascii: "]"))
  }

  /// A number as JSON has it; null where there is none.
  fileprivate mutating func append(number: Double?) {
    guard let number, number.isFinite else { return self += "null".utf8 }
    let start = count
    self += number.description.utf8
    // A whole number needs no point.
    if count - start > 2, self[count - 1] == UInt8(ascii: "0"), self[count - 2] == UInt8(ascii: ".")
    {
      removeLast(2)
    }
  }

  fileprivate mutating func append(json text: String) {
    append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): self += [UInt8(ascii: "\\"), byte]
      case 0x0A: self += #"\n"#.utf8
      case 0x0D: self += #"\r"#.utf8
      case 0x09: self += #"\t"#.utf8
      case 0..<0x20:
        let digits = String(byte, radix: 16)
        self += ("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8
      default: append(byte)
      }
    }
    append(UInt8(ascii: "\""))
  }
}
