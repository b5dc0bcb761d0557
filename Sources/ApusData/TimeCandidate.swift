/// A reading of the time of all rows.
struct TimeCandidate {
  /// The columns.
  var parts: [TimePart]
  /// The stamp of each row; nil where a cell does not fit.
  var stamps: [Timestamp?]
  /// What the reader of the data should know, as sentences.
  var notes: [String]
  /// Whether times with a zone were moved to Coordinated Universal Time.
  var isUniversal: Bool
  /// How good a reading of this kind is by itself: 0 for written dates, 1 for numbers and parts whose name
  /// says what they are, 2 for numbers that only look like times.
  var rank: Int

  init(_ parts: [TimePart], dates: DateColumn, notes: [String] = [], rank: Int) {
    self.parts = parts
    stamps = dates.stamps
    self.notes = notes + dates.notes
    isUniversal = dates.isUniversal
    self.rank = rank
  }

  /// Rows without a stamp.
  var misses: Int { stamps.count { $0 == nil } }

  /// Whether it is a column of bare years, which other tables have as a feature.
  var isYear: Bool { parts.count == 1 && parts[0].role == .date(.year) }

  /// The rows that repeat a stamp.
  var repeats: Int { TimeCandidate.repeats(stamps) }

  /// Rows whose stamp an earlier one has.
  ///
  /// - Parameters:
  ///   - stamps: In the order of the file.
  ///   - limit: Counting ends above so many. Default: it never does.
  /// - Returns: How many.
  static func repeats(_ stamps: [Timestamp?], atMost limit: Int = .max) -> Int {
    var (rises, falls) = (true, true)
    var last: Timestamp?
    for case .some(let stamp) in stamps {
      if let last {
        if stamp <= last { rises = false }
        if stamp >= last { falls = false }
        if !rises, !falls { break }
      }
      last = stamp
    }
    if rises || falls { return 0 }
    var seen: Set<Timestamp> = []
    var count = 0
    for case .some(let stamp) in stamps where !seen.insert(stamp).inserted {
      count += 1
      if count > limit { break }
    }
    return count
  }
}

/// A column that looks like a time and cannot be read as one.
struct UnreadableTime {
  let column: Int
  let row: Int
  let reason: String
}
