import ApusData
import ApusModels
import ApusTensor

/// The memories of live series of one forecaster, which step together.
///
/// A series has two that take turns every L rows, so that a forecast always rests on at least L and fewer
/// than 2 L rows. Rows of several series go through the backbone as one batch; what becomes of a series
/// does not depend on which others are in it, to the bit.
struct MemoryBank {
  private let forecaster: Forecaster
  /// Of series i the sequences 2 i and 2 i + 1; nil before the first series.
  private var state: ForecasterState?
  private var places: [Place] = []
  /// Whether the rows that a memory rests on are kept, for ``remembered(_:)``.
  private let keepsRows: Bool

  /// Where one series is.
  private struct Place {
    /// Rows since the border of blocks at which it began.
    var rows = 0
    /// The last rows' values, W − 1 of them at most: those in the windows of the next row.
    var values: [Double] = []
    /// The rows that both memories rest on, fewer than 2 L, where they are kept.
    var kept: [FeatureRow] = []
    /// Whether the block before the first row was taken in as a whole.
    var hasBlock = true

    /// Takes in values; so many of the last are kept.
    mutating func remember(_ more: some Sequence<Double>, keeping most: Int) {
      values += more
      values.removeFirst(max(0, values.count - most))
    }
  }

  /// Creates a bank without series.
  ///
  /// - Parameters:
  ///   - forecaster: The model.
  ///   - keepsRows: Whether ``remembered(_:)`` will be asked. Default: no.
  init(_ forecaster: Forecaster, keepsRows: Bool = false) {
    (self.forecaster, self.keepsRows) = (forecaster, keepsRows)
  }

  /// How many series there are.
  var count: Int { places.count }

  /// Adds series that stand at the border of a block.
  ///
  /// - Parameter blocks: Of each series the rows before, L of them, or fewer where it began later; what is
  ///   missing counts as zeros, as in a batch.
  /// - Returns: The numbers of the series.
  @discardableResult
  mutating func add(after blocks: [ArraySlice<FeatureRow>]) -> Range<Int> {
    let config = forecaster.config
    var states = state.map { [$0] } ?? []
    let first = places.count
    for block in blocks {
      var current = forecaster.initialState()
      var frame = SeriesFrame(inputs: config.inputs, known: config.known)
      for row in block.suffix(config.context) { frame.append(row) }
      let input = frame.rows(frame.count - config.context..<frame.count, for: config)
      forecaster.advance(
        Tensor(input, [1, config.context, forecaster.rowWidth]), state: &current)
      current.count = 0
      states += [current, forecaster.initialState()]
      var place = Place(kept: keepsRows ? Array(block.suffix(config.context)) : [])
      place.remember(frame.values, keeping: valuesKept)
      places.append(place)
    }
    join(states)
    return first..<places.count
  }

  private mutating func join(_ states: [ForecasterState]) {
    guard !states.isEmpty else { return }
    state = ForecasterState(joining: states)
  }

  /// How many values before a row its window holds.
  private var valuesKept: Int { max(0, forecaster.config.window - 1) }

  /// Appends a row to some of the series and forecasts the rows after it.
  ///
  /// - Parameter rows: At most one for each series.
  /// - Returns: For each of `rows` `[P][Q]` in units of the measure.
  /// - Throws: ``NotFiniteError``.
  mutating func push(
    _ rows: [(series: Int, row: FeatureRow)]
  ) throws(NotFiniteError) -> [[[Double]]] {
    var results = [[[Double]]](repeating: [], count: rows.count)
    // Series of one batch are at the same place in a patch.
    let patch = forecaster.config.patch
    let phases = Dictionary(grouping: rows.indices) { places[rows[$0].series].rows % patch }
    for phase in phases.keys.sorted() {
      // In the order of the series a batch of all of them steps in place.
      let numbers = (phases[phase] ?? []).sorted { rows[$0].series < rows[$1].series }
      let quantiles = step(numbers.map { rows[$0] }, phase: phase)
      let width = quantiles.count / max(numbers.count, 1)
      for (place, number) in numbers.enumerated() {
        let row = rows[number].row
        results[number] = unscaled(
          quantiles[place * width..<(place + 1) * width], location: row.location,
          scale: row.scale, season: row.season, forecaster.config
        ) { $0 <= row.ahead.count ? row.ahead[$0 - 1].shift : .none }
        try forecaster.requireFinite(results[number], for: "the rows ahead")
      }
    }
    return results
  }

  /// Steps series that are at one place in a patch: `[N, P · Q]` normalized.
  private mutating func step(_ rows: [(series: Int, row: FeatureRow)], phase: Int) -> [Float] {
    guard var all = state else { return [] }
    state = nil
    defer { state = all }
    let lookBack = forecaster.config.context
    // At a border the memory that was read last begins anew.
    let turning = rows.map(\.series).filter {
      places[$0].rows > 0 && places[$0].rows % lookBack == 0
    }
    if !turning.isEmpty {
      all.put(
        forecaster.initialState(batch: turning.count),
        at: turning.map { 2 * $0 + (places[$0].rows / lookBack + 1) % 2 })
    }
    let width = forecaster.rowWidth
    var input = [Float](repeating: 0, count: 2 * rows.count * width)
    var asked: [Int] = []
    for (number, one) in rows.enumerated() {
      let place = places[one.series]
      let (done, turn) = (place.rows % lookBack + 1, place.rows / lookBack % 2)
      asked.append(2 * number + turn)
      write(one.row, place, since: lookBack + done, at: 2 * number + turn, in: &input)
      write(one.row, place, since: done, at: 2 * number + 1 - turn, in: &input)
    }
    let tensor = Tensor(input, [2 * rows.count, 1, width])
    let quantiles: Tensor
    if rows.count == places.count {
      all.count = phase
      quantiles = forecaster.quantiles(tensor, of: asked, state: &all)
    } else {
      let sequences = rows.flatMap { [2 * $0.series, 2 * $0.series + 1] }
      var some = all.rows(sequences)
      some.count = phase
      quantiles = forecaster.quantiles(tensor, of: asked, state: &some)
      all.put(some, at: sequences)
    }
    for one in rows { take(one.row, into: one.series) }
    return quantiles.values
  }

  /// Writes a row as a memory sees it whose first row was so many rows ago, this one included.
  private func write(
    _ row: FeatureRow, _ place: Place, since count: Int, at sequence: Int, in input: inout [Float]
  ) {
    let (config, start) = (forecaster.config, sequence * forecaster.rowWidth)
    for (feature, value) in row.features.enumerated() { input[start + feature] = value }
    let end = start + config.inputs + config.window
    if config.window > 0 {
      writeWindow(
        place.values.suffix(count - 1) + [row.value], location: row.location, scale: row.scale,
        endingAt: end, in: &input)
    }
    if config.head.isOfCounts { input[start + forecaster.rowWidth - 1] = Float(row.scale) }
    for (step, known) in row.ahead.prefix(config.horizon).enumerated() {
      for (column, value) in known.inputs.prefix(config.known).enumerated() {
        input[end + step * config.known + column] = value
      }
    }
  }

  private mutating func take(_ row: FeatureRow, into series: Int) {
    let (lookBack, most) = (forecaster.config.context, valuesKept)
    places[series].remember(CollectionOfOne(row.value), keeping: most)
    places[series].rows += 1
    guard keepsRows else { return }
    places[series].kept.append(row)
    // At a border the block before the last one is done with.
    if places[series].rows % lookBack == 0 {
      places[series].kept.removeFirst(max(0, places[series].kept.count - lookBack))
      places[series].hasBlock = false
    }
  }

  // MARK: Snapshots

  /// What the memories of a series rest on.
  struct Memory: Equatable {
    /// How many of the rows came after the block that was taken in as a whole, or after the border.
    var count: Int
    /// Whether those before them were taken in as a whole.
    var hasBlock: Bool
    /// Features, value, location and scale of each; seasons play no part.
    var rows: [FeatureRow]
  }

  /// What a series rests on; empty where rows are not kept.
  func memory(of series: Int) -> Memory {
    let place = places[series]
    return Memory(
      count: place.hasBlock ? place.rows : place.kept.count, hasBlock: place.hasBlock,
      rows: place.kept)
  }

  /// Adds series by what they rest on, to the bits that they had.
  ///
  /// - Throws: ``NotFiniteError``.
  mutating func add(_ memories: [Memory]) throws(NotFiniteError) {
    var rest: [(series: Int, rows: ArraySlice<FeatureRow>)] = []
    for memory in memories {
      let border = memory.hasBlock ? memory.rows.count - memory.count : 0
      if memory.hasBlock {
        add(after: [memory.rows[..<border]])
      } else {
        // The first memory is not asked before the second one has read a block and takes its turn.
        join((state.map { [$0] } ?? []) + [forecaster.initialState(batch: 2)])
        places.append(Place())
      }
      rest.append((places.count - 1, memory.rows[border...]))
    }
    for step in 0..<(rest.map(\.rows.count).max() ?? 0) {
      _ = try push(
        rest.compactMap { series, rows in
          step < rows.count ? (series, rows[rows.startIndex + step]) : nil
        })
    }
  }
}
