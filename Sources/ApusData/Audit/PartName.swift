public import ApusTensor

/// The part of the data that a word in a table names.
public enum PartName: String, Sendable, Equatable {
  /// Fitted to.
  case train
  /// Chosen by.
  case validation
  /// Judged by.
  case test
  /// Left out: purged, or between parts.
  case unused

  private static let words: [PartName: Set<String>] = [
    .train: ["train", "training", "trainset", "insample", "fit", "learn", "estimation", "tr"],
    .validation: ["val", "valid", "validation", "dev", "development", "tune", "tuning"],
    .test: ["test", "testing", "testset", "holdout", "oos", "outofsample", "eval", "evaluation"],
    .unused: ["", "none", "unused", "purged", "purge", "embargo", "gap", "drop", "dropped", "na"],
  ]

  /// The part that a cell names; nil for another word.
  public init?(_ text: String) {
    let plain = normalizedName(text)
    guard let found = Self.words.first(where: { $0.value.contains(plain) }) else { return nil }
    self = found.key
  }

  /// The column whose cells name parts, or that is called like one and holds two or more numbers.
  static func column(of layout: CSVLayout) -> Int? {
    let named: Set<String> = [
      "split", "fold", "cvfold", "kfold", "istest", "istrain", "testset", "partition", "subset",
    ]
    return layout.names.indices.first { column in
      let cells = Set(
        layout.sample(column, limit: 2_000).map { String(decoding: $0, as: UTF8.self) })
      guard cells.count >= 2, cells.count <= 50 else { return false }
      if cells.allSatisfy({ PartName($0) != nil }) {
        return Set(cells.compactMap { PartName($0) }).subtracting([.unused]).count >= 2
      }
      return named.contains(normalizedName(layout.names[column]))
        && cells.allSatisfy { Int($0) != nil || Bool($0.lowercased()) != nil }
    }
  }
}

extension AuditError: ApusError {
  public var exitStatus: ExitStatus {
    switch self {
    case .badTime: .usage
    default: .badData
    }
  }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .noTarget(let file, let columns):
      """
      \(file): found \(columns.count) columns that could be what is predicted \
      (\(columns.prefix(8).joined(separator: ", "))), expected one; name it with --target.
      """
    case .unknownPart(let file, let column, let found):
      """
      \(file): found '\(found.prefix(40))' in column '\(column)', expected train, validation or test, \
      or the numbers of folds; rename the parts, or name another column with --split.
      """
    case .badTime(let option, let found, let example):
      """
      \(option) is '\(found)', expected a time such as \(example); write it with the year first.
      """
    case .missingColumn(let file, let column, let purpose):
      "\(file): found no column '\(column)', expected \(purpose); add it."
    case .nothingShared(let file, let other):
      """
      \(file): found no row whose series and time \(other) has too, expected the same rows; check the \
      columns of both.
      """
    }
  }
}
