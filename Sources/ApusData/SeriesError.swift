public import ApusTensor

/// Why a file of series could not be used.
///
/// Each description is one sentence or two: file and line, what was found, what was expected, what to do.
public enum SeriesError: Error, Equatable, Sendable {
  /// There is no such file.
  case notFound(file: String)
  /// The path names a folder, a device or something else that is no regular file.
  case notAFile(file: String, kind: String)
  /// The system refused to read the file.
  case unreadable(file: String, reason: String)
  /// The file has no bytes, or nothing but blank lines.
  case empty(file: String)
  /// The file is larger than the limit.
  case tooLarge(file: String, limit: Int)
  /// The file is compressed or packed in a known format.
  case packed(file: String, format: String, advice: String)
  /// A byte that no text file holds.
  case binary(file: String, line: Int, byte: UInt8)
  /// The text is in UTF-16 or UTF-32.
  case wideEncoding(file: String, encoding: String)
  /// A quoted field never ends.
  case unterminatedQuote(file: String, line: Int)
  /// A field is longer than the limit.
  case fieldTooLong(file: String, line: Int, limit: Int)
  /// A row has more fields than the limit.
  case tooManyColumns(file: String, line: Int, limit: Int)
  /// The file has column names and no rows.
  case onlyHeader(file: String, names: [String])
  /// No column holds numbers.
  case noNumbers(file: String, names: [String])
  /// A column asked for is not there.
  case noSuchColumn(file: String, name: String, names: [String])
  /// A column asked for as target does not hold numbers.
  case notNumeric(file: String, column: String, line: Int, found: String)
  /// A column that was named as static changes within a series.
  case notStatic(file: String, column: String, series: String, time: String)
  /// A column asked for as time does not hold dates.
  case notDates(file: String, column: String, line: Int, found: String)
  /// A column named or written like a time cannot be read as one.
  case unreadableTime(file: String, column: String, line: Int, found: String, reason: String)
  /// Cells fit several readings, and nothing in the file decides between them.
  case undecided(
    file: String, column: String, line: Int, found: String, readings: String, choice: String)
  /// Several rows share their time, and would be lost.
  case repeatedTimes(
    file: String, rows: Int, of: Int, time: String, line: Int, resolving: [String])
  /// A language of names of months that is not known.
  case unknownLocale(String)
  /// The file gives times without the distance between them.
  case needsFrequency(file: String, line: Int)
  /// A line of a data format is not as the format has it.
  case badFormat(file: String, line: Int, found: String, expected: String)
  /// So many rows are bad that the file is more likely misread than damaged.
  case tooManyBadRows(file: String, bad: Int, rows: Int, line: Int, reason: String)
  /// No row holds both a time and a target.
  case noUsableRows(file: String, target: String)
  /// A value has two conflicting rows and the options forbid that.
  case duplicateTime(file: String, line: Int, series: String, time: String)
}

extension SeriesError: ApusError {
  public var exitStatus: ExitStatus {
    if case .notFound = self { .missingInput } else { .badData }
  }

  public var description: String {
    switch self {
    case .notFound(let file):
      "\(file): there is no such file; check the path."
    case .notAFile(let file, let kind):
      "\(file): found \(kind), expected a CSV file; name one file in it."
    case .unreadable(let file, let reason):
      "\(file): the file cannot be read (\(reason)); check its permissions."
    case .empty(let file):
      "\(file): the file is empty; expected a header line and rows of dates and numbers."
    case .tooLarge(let file, let limit):
      "\(file): found more than \(limit) bytes, expected at most so many; split the file."
    case .packed(let file, let format, let advice):
      "\(file): found \(format) data, expected plain CSV text; \(advice)."
    case .binary(let file, let line, let byte):
      """
      \(file), line \(line): found the byte \(byte), which no text holds, expected CSV text; \
      this looks like a binary file.
      """
    case .wideEncoding(let file, let encoding):
      "\(file): found \(encoding) text, expected UTF-8; save it again as CSV UTF-8."
    case .unterminatedQuote(let file, let line):
      """
      \(file), line \(line): found a quote that is never closed, expected a second one; \
      the file may be cut short.
      """
    case .fieldTooLong(let file, let line, let limit):
      """
      \(file), line \(line): found a field of more than \(limit) bytes, expected a short cell; \
      look for a missing quote or delimiter.
      """
    case .tooManyColumns(let file, let line, let limit):
      """
      \(file), line \(line): found more than \(limit) columns, expected one row per time step; \
      transpose the table.
      """
    case .onlyHeader(let file, let names):
      "\(file), line 1: found only column names (\(listed(names))), expected rows below them."
    case .noNumbers(let file, let names):
      """
      \(file): found no column of numbers among \(listed(names)), expected dates and numbers; \
      check delimiter and decimal mark.
      """
    case .noSuchColumn(let file, let name, let names):
      """
      \(file): found no column '\(name)', expected one of \(listed(names)).\(suggestion(for: name, among: names))
      """
    case .notNumeric(let file, let column, let line, let found):
      """
      \(file), line \(line): found '\(found)' in column '\(column)', expected a number; \
      choose a column of numbers as target.
      """
    case .notStatic(let file, let column, let series, let time):
      """
      \(file): column '\(column)' changes within series '\(series)' at \(time), but it was named as static. \
      Name it with --covariates, or with --future where it is known ahead.
      """
    case .notDates(let file, let column, let line, let found):
      """
      \(file), line \(line): found '\(found)' in column '\(column)', expected a date such as \
      2015-12-31; name another time column.
      """
    case .unreadableTime(let file, let column, let line, let found, let reason):
      """
      \(file), line \(line): found '\(found)' in column '\(column)', expected \(reason); repair the \
      column, name another with --time, or count rows as steps with --time none.
      """
    case .undecided(let file, let column, let line, let found, let readings, let choice):
      """
      \(file), line \(line): found '\(found)' in column '\(column)', which reads as \(readings), and \
      nothing in the file decides, expected one reading; say \(choice).
      """
    case .repeatedTimes(let file, let rows, let all, let time, let line, let resolving):
      """
      \(file), line \(line): found a time of \(time) that an earlier row has, in \(rows) of \(all) rows, \
      expected one row for each time and series; \(Self.advice(resolving)).
      """
    case .unknownLocale(let code):
      """
      Found the locale '\(code)', expected one of \(MonthNames.codes.joined(separator: ", ")); name one \
      of these.
      """
    case .needsFrequency(let file, let line):
      """
      \(file), line \(line): found a start and values without their distance, expected a frequency; say \
      it with --freq, such as --freq 1h.
      """
    case .badFormat(let file, let line, let found, let expected):
      "\(file), line \(line): found \(found), expected \(expected); repair the line."
    case .tooManyBadRows(let file, let bad, let rows, let line, let reason):
      """
      \(file), line \(line): \(reason); \(bad) of \(rows) rows are bad like this, expected a few at \
      most; repair the file or name its columns.
      """
    case .noUsableRows(let file, let target):
      "\(file): found no row with a time and a number in '\(target)', expected at least one."
    case .duplicateTime(let file, let line, let series, let time):
      """
      \(file), line \(line): found a second, different row for \(series) at \(time), expected one \
      row for each time.
      """
    }
  }

  private static func advice(_ resolving: [String]) -> String {
    let rules = "--duplicates last, first, sum or mean"
    guard !resolving.isEmpty else {
      return "no column tells them apart: add one that does and name it with --id, or say \(rules)"
    }
    let columns = resolving.map { "'\($0.prefix(40))'" }.joined(separator: " and ")
    let flag = resolving.joined(separator: ",").prefix(80)
    return
      "\(columns) tell\(resolving.count == 1 ? "s" : "") them apart: say --id \(flag), or \(rules)"
  }

  private func listed(_ names: [String]) -> String {
    let shown = names.prefix(12).map { "'\($0.prefix(40))'" }.joined(separator: ", ")
    return names.count > 12 ? "\(shown) and \(names.count - 12) more" : shown
  }
}
