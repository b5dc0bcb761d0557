import ApusData
import ApusModels
public import ApusTensor
import Foundation

/// Where a stream stands: of every series what its next forecast rests on. A stream that goes on from it
/// gives the bits that it would have given before; a baseline goes on from the last 4,096 rows or more.
struct StreamSnapshot: Codable {
  static let newestFormat = 1
  /// A larger file is none of ours.
  static let mostBytes = 4 << 30

  var format = StreamSnapshot.newestFormat
  /// Tells the model apart from others.
  var model: String
  /// The columns beside the target, in the order of the stream.
  var columns: [String]
  var series: [Series]

  /// One series.
  struct Series: Codable {
    var name: String
    /// The row taken in last.
    var latest: Timestamp
    /// The first rows, by which another frequency is told.
    var pace: [Timestamp]
    /// Rows to come before the first forecast.
    var warmUp: Int
    var measure: MeasureStream.Memory
    var errors: ErrorWatch.Memory
    /// Of a trained model.
    var scaler: CausalScaler.Memory?
    var memory: Rows?
    /// Of a baseline: its values, measured, eight bytes each in base 64.
    var values: String?
  }

  /// The rows that the memories of a series rest on.
  struct Rows: Codable {
    /// How many of them came after the block that was taken in as a whole, or after the border.
    var count: Int
    /// Whether the rows before those were taken in as a whole.
    var hasBlock: Bool
    /// Features, value, location and scale of each row, eight bytes each in base 64.
    var numbers: String
  }
}

/// Why a stream cannot go on from a snapshot.
public enum SnapshotError: Error, Equatable {
  /// The file is damaged, or of another kind.
  case damaged(path: String, reason: String)
  /// It is of another model.
  case otherModel(path: String)
  /// The table has other columns.
  case otherColumns(path: String, found: [String], expected: [String])
  /// Compositions choose their experts by rows that no snapshot holds.
  case composition
}

extension SnapshotError: ApusError {
  public var exitStatus: ExitStatus { self == .composition ? .usage : .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .damaged(let path, let reason):
      "'\(path)' is no snapshot to go on from: \(reason). Move it away to begin anew."
    case .otherModel(let path):
      """
      '\(path)' is the snapshot of another model. Give the model that wrote it, or move it away to begin \
      anew.
      """
    case .otherColumns(let path, let found, let expected):
      """
      '\(path)' is the snapshot of a table with the columns \(expected.joined(separator: ", ")), but the \
      rows have \(found.isEmpty ? "none" : found.joined(separator: ", ")). Give the same table, or move \
      it away to begin anew.
      """
    case .composition:
      "A composition has no snapshots: leave --snapshot out, or stream one of its experts."
    }
  }
}

extension Model {
  /// Tells the model apart from others: a digest of how it reads rows, of its sizes and its weights, or of
  /// what the baseline is asked.
  var identity: String {
    var digest = Fingerprint()
    digest.update("\(recipe.measure) \(recipe.covariates) \(recipe.window ?? 0) \(target)")
    digest.update("\(horizon) \(levels)")
    for forecaster in forecasters {
      let config = forecaster.config
      digest.update("\(config.context) \(config.window) \(config.patch) \(config.inputs)")
      for parameter in forecaster.parameters { digest.update(parameter.value) }
    }
    if parts.count > 1 { digest.update("\(members)") }
    if let correction { digest.update("\(correction.levels) \(correction.factors)") }
    return "\(name) \(digest.hexadecimal)"
  }
}

/// Numbers as text that keeps every bit: eight bytes each, the lowest first, in base 64.
enum PackedNumbers {
  static func text(_ numbers: [Double]) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(8 * numbers.count)
    for number in numbers {
      for shift in stride(from: 0, to: 64, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: number.bitPattern >> UInt64(shift)))
      }
    }
    return Data(bytes).base64EncodedString()
  }

  /// The numbers; nil where the text is damaged.
  static func numbers(_ text: String) -> [Double]? {
    guard let data = Data(base64Encoded: text), data.count % 8 == 0 else { return nil }
    let bytes = [UInt8](data)
    return stride(from: 0, to: bytes.count, by: 8).map { start in
      var bits: UInt64 = 0
      for byte in (0..<8).reversed() { bits = bits << 8 | UInt64(bytes[start + byte]) }
      return Double(bitPattern: bits)
    }
  }
}

extension StreamSnapshot.Rows {
  init(_ memory: MemoryBank.Memory) {
    count = memory.count
    hasBlock = memory.hasBlock
    numbers = PackedNumbers.text(
      memory.rows.flatMap { $0.features.map(Double.init) + [$0.value, $0.location, $0.scale] })
  }

  /// The memory; nil where it is none of a forecaster with such a context and so many inputs.
  func memory(inputs: Int, context: Int) -> MemoryBank.Memory? {
    let width = inputs + 3
    guard let all = PackedNumbers.numbers(numbers), all.count % width == 0 else { return nil }
    let rows = stride(from: 0, to: all.count, by: width).map { start in
      FeatureRow(
        features: all[start..<start + inputs].map { Float($0) }, value: all[start + inputs],
        season: .none, location: all[start + inputs + 1], scale: all[start + inputs + 2],
        isScaled: true)
    }
    let isSound = rows.allSatisfy {
      $0.features.allSatisfy(\.isFinite) && $0.location.isFinite && $0.scale > 0
        && $0.scale.isFinite
    }
    let before = rows.count - count
    let fits =
      hasBlock
      ? count < context && before <= context
      : before == 0 && (context..<2 * context).contains(count)
    guard isSound, count >= 0, before >= 0, fits else { return nil }
    return MemoryBank.Memory(count: count, hasBlock: hasBlock, rows: rows)
  }
}
