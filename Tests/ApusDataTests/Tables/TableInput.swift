import ApusData
import Foundation
import Testing

/// A table that people export, and what has to come of it.
struct TableInput: Sendable, CustomTestStringConvertible {
  var name: String
  var text: String
  var options = SeriesOptions()
  /// Series, rows of the first, its first and last time, the frequency and the target.
  var series = 1
  var rows: Int
  var first: String
  var last: String?
  var frequency: Frequency
  var target: String?
  /// The first value of the first series.
  var value: Double?
  var testDescription: String { name }

  /// Reads it and compares; says which input differs.
  func check() throws {
    let table = try SeriesTable(
      parsingCSV: Array(text.utf8), name: "\(name).csv", options: options)
    #expect(table.series.count == series, "\(name): \(table.report.sentences)")
    let one = try #require(table.series.first)
    #expect(one.count == rows, "\(name): \(table.report.sentences)")
    #expect(one.timestamps.first?.description == first, "\(name)")
    if let last { #expect(one.timestamps.last?.description == last, "\(name)") }
    #expect(table.cadence.frequency == frequency, "\(name)")
    if let target { #expect(table.targetName == target, "\(name): \(table.report.sentences)") }
    if let value { #expect(one.values.first == value, "\(name)") }
  }
}

/// A table that no reading fits, and the words that its sentence must have.
struct RefusedInput: Sendable, CustomTestStringConvertible {
  var name: String
  var text: String
  var options = SeriesOptions()
  var words: [String]
  var testDescription: String { name }

  func check() throws {
    let error = #expect(throws: SeriesError.self, "\(name)") {
      try SeriesTable(parsingCSV: Array(text.utf8), name: "\(name).csv", options: options)
    }
    let sentence = try #require(error?.description)
    for word in words { #expect(sentence.contains(word), "\(name): \(sentence)") }
    #expect(sentence.contains("expected") && sentence.hasSuffix("."), "\(sentence)")
  }
}

/// Moments and numbers for tables.
enum Made {
  static func moments(_ count: Int, from start: String, every step: Int64) -> [CivilTime] {
    let first = Timestamp(start)?.secondsSinceEpoch ?? 0
    return (0..<count).map { Timestamp(secondsSinceEpoch: first + Int64($0) * step).civil }
  }

  static func days(_ count: Int, from start: String = "2021-03-01") -> [CivilTime] {
    moments(count, from: start, every: 86_400)
  }

  static func hours(_ count: Int, from start: String = "2023-01-02") -> [CivilTime] {
    moments(count, from: start, every: 3_600)
  }

  /// The days from Monday to Friday.
  static func weekdays(_ count: Int, from start: String = "2021-03-01") -> [CivilTime] {
    let all = moments(count * 7 / 5 + 7, from: start, every: 86_400)
    return Array(
      all.filter { day in
        (Timestamp(year: day.year, month: day.month, day: day.day)?.weekday ?? 6) < 5
      }.prefix(count))
  }

  static func months(_ years: ClosedRange<Int>) -> [(year: Int, month: Int)] {
    years.flatMap { year in (1...12).map { (year, $0) } }
  }

  /// A weekly wave with noise that is the same for the same row.
  static func number(_ row: Int) -> Double {
    var random = SeededRandom(seed: UInt64(row))
    let value = 50 + 10 * sin(Double(row) * 2 * .pi / 7) + 2 * random.normal()
    return (value * 100).rounded() / 100
  }

  /// A random walk of logarithms, as prices are.
  static func prices(_ count: Int, seed: UInt64 = 1) -> [Double] {
    var random = SeededRandom(seed: seed)
    var level = 100.0
    return (0..<count).map { _ in
      level *= exp(0.01 * random.normal())
      return (level * 100).rounded() / 100
    }
  }

  static func comma(_ value: Double) -> String { "\(value)".replacing(".", with: ",") }

  static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }

  /// Rows below a header.
  static func table(_ header: String, _ rows: [String]) -> String {
    ((header.isEmpty ? [] : [header]) + rows).joined(separator: "\n") + "\n"
  }
}

extension CivilTime {
  var iso: String { "\(year)-\(Made.two(month))-\(Made.two(day))" }
  var dayFirst: String { "\(Made.two(day))/\(Made.two(month))/\(year)" }
  var monthFirst: String { "\(Made.two(month))/\(Made.two(day))/\(year)" }
  var dotted: String { "\(Made.two(day)).\(Made.two(month)).\(year)" }
  var clock: String { "\(Made.two(hour)):\(Made.two(minute))" }
  var compact: String { "\(year)\(Made.two(month))\(Made.two(day))" }
}
