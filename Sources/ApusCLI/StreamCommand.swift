import Apus
import ArgumentParser
import Dispatch
import Foundation
import Synchronization

/// `apus stream`: rows in, forecasts out.
struct StreamCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stream",
    abstract: "Reads rows on standard input and prints a forecast after each.",
    discussion: """
      EXAMPLE: tail -n +1 -f prices.csv | apus stream --model my-model --snapshot prices.state

      Takes CSV with a header and the columns of the training data, or just times and values, of one \
      series or of thousands. A row with several columns that are forecast gives a line for each, a row \
      that is a whole series the forecast after its last value. Each row gives one line at once: JSON with cutoff, ds, levels and \
      quantiles [steps ahead][levels], or CSV. Units are those of apus forecast. anomaly says where the \
      row lay in what had been forecast for it, in standard normal deviations: beyond 4 to either side \
      is rare. drift is the error of about the last 50 rows over that of all: far above 1 the model has \
      aged. Quantiles are null while a series that begins warms up, and after the first price of a \
      returns model, as it makes no return. Rows that are malformed, late or double are named on standard \
      error and passed over.

      With --snapshot the stream goes on where it stood, to the bit, also after a kill: give the table \
      from its header on again, rows that were read before are passed over. What was printed after the \
      last snapshot is printed once more. A baseline goes on from the last 4,096 rows or more.
      """)

  @Option(help: "A forecaster's folder, from apus train or apus compare.")
  var model: String
  @Flag(help: "CSV lines instead of JSON: the columns of apus forecast for each step ahead.")
  var csv = false
  @Option(
    help: """
      A CSV with times and the columns that the model knows ahead. Default: what the model keeps of its \
      training file.
      """)
  var futureData: String?
  @Option(
    help: """
      Rows of a series that begins, before it is forecast; its scale rests on them. Series whose rows \
      the model keeps go on from those. Default: \(LineForecasts.usualWarmUp).
      """)
  var warmUp: Int?
  @Option(
    help: """
      File that says where every series stands: read at the start where it is there, written every so \
      often and at the end. Default: none.
      """)
  var snapshot: String?
  @Option(help: "Time between snapshots, such as 30s or 5m. Default: 60s.")
  var every: TimeSpan?
  @OptionGroup var columns: ColumnOptions
  @OptionGroup var cells: CellOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if csv, machine.json { throw ValidationError("Give --csv or --json, not both.") }
    if let warmUp, !(0...100_000).contains(warmUp) {
      throw ValidationError("--warm-up is \(warmUp), expected 0 to 100000 rows.")
    }
    if let every, every.seconds <= 0 || every.seconds > 1e7 {
      throw ValidationError("--every must be above 0 seconds and at most 115 days.")
    }
    if every != nil, snapshot == nil {
      throw ValidationError("--every says how often a snapshot is written: give --snapshot too.")
    }
  }

  func run() throws {
    machine.apply()
    let guardsFormulas = try cells.guardsFormulas(inCSV: csv)
    var forecasts = try LineForecasts(
      ModelFolder.open(model), futureAt: futureData, options: columns.reading,
      warmUp: warmUp ?? LineForecasts.usualWarmUp, keepsRows: snapshot != nil)
    if let snapshot, FileManager.default.fileExists(atPath: snapshot) {
      try forecasts.resume(from: snapshot)
    }
    let format = forecasts.format
    if csv { try Printer.results.print(data: format.csvHeader) }
    let signals = snapshot.map { _ in SignalWatch {} }
    var lines = LineReader()
    var last = ContinuousClock.now
    var isStale = false
    while !Printer.results.isClosed, signals?.signal == nil {
      if let snapshot, isStale, last.duration(to: .now) >= .seconds(every?.seconds ?? 60) {
        try forecasts.save(to: snapshot)
        (last, isStale) = (.now, false)
      }
      if snapshot != nil, !lines.waits(atMost: Self.patience) { continue }
      let batch = try lines.nextLines(most: Self.mostLines)
      guard !batch.isEmpty else { break }
      isStale = true
      var found: [LineForecast] = []
      let lineOf: @Sendable (LineForecast) -> [UInt8] = { [csv] forecast in
        csv ? format.csv(forecast, guardsFormulas: guardsFormulas) : format.json(forecast)
      }
      do {
        try forecasts.push(batch) { outcome in
          switch outcome {
          case .problem(let error): Printer.messages.note(error)
          case .forecast(let forecast):
            if let reason = forecast.reason { Printer.messages.note(reason) }
            found.append(forecast)
            guard found.count >= Self.mostForecasts else { return }
            try Printer.results.print(lines: Self.text(found, lineOf))
            found.removeAll(keepingCapacity: true)
          }
        }
      } catch {
        try Printer.results.print(lines: Self.text(found, lineOf))
        throw error
      }
      try Printer.results.print(lines: Self.text(found, lineOf))
    }
    if let snapshot, isStale { try forecasts.save(to: snapshot) }
    if forecasts.passedOver > 0 {
      let rows = forecasts.passedOver == 1 ? "1 row" : "\(forecasts.passedOver) rows"
      Printer.messages.note("\(rows) had been read before the snapshot and were passed over")
    }
    if let signal = signals?.signal { throw ExitCode(128 + signal) }
  }

  /// The lines of many forecasts, made on all cores.
  private static func text(
    _ forecasts: [LineForecast], _ line: @escaping @Sendable (LineForecast) -> [UInt8]
  ) -> [UInt8] {
    let size = 128
    let parts = Mutex([[UInt8]](repeating: [], count: (forecasts.count + size - 1) / size))
    let count = parts.withLock(\.count)
    let work: @Sendable (Int) -> Void = { part in
      var text: [UInt8] = []
      for forecast in forecasts[part * size..<min((part + 1) * size, forecasts.count)] {
        text += line(forecast)
        text.append(UInt8(ascii: "\n"))
      }
      parts.withLock { $0[part] = text }
    }
    if count > 1 {
      DispatchQueue.concurrentPerform(iterations: count, execute: work)
    } else if count == 1 {
      work(0)
    }
    return parts.withLock { parts in
      var text: [UInt8] = []
      text.reserveCapacity(parts.reduce(0) { $0 + $1.count })
      for part in parts { text += part }
      return text
    }
  }

  /// Forecasts that are printed at once at most: their text stays in the caches.
  private static let mostForecasts = 512
  /// Lines that are taken in at once at most.
  private static let mostLines = 8192
  /// Milliseconds between looks at the clock and at signals, while no row comes.
  private static let patience: Int32 = 200
}
