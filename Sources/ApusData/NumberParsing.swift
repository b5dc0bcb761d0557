#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What a cell of a numeric column holds.
enum NumberCell: Equatable {
  case number(Double)
  /// Empty, or one of the usual words for nothing.
  case missing
  /// Neither; the reader keeps the cell as missing and reports it.
  case bad
}

/// How numbers are written in a file.
public struct NumberStyle: Codable, Equatable, Sendable {
  /// `1.234,5` instead of `1,234.5`.
  public var usesDecimalComma = false
  /// What stands for a missing number, in lower case and at most seven bytes, beside an empty cell.
  public var missingWords = usualMissingWords

  /// Reads one trimmed cell.
  ///
  /// Plain decimals of up to 15 digits go the short way, where one exact product or quotient rounds
  /// correctly (Clinger, 1990, *How to Read Floating Point Numbers Accurately*); the rest goes to the
  /// standard library, which rounds correctly too. Beyond plain numbers: thousands separators, a leading
  /// currency sign, a trailing percent sign (kept as percent) and K, M, B (thousand, million, billion).
  func parse(_ cell: ArraySlice<UInt8>) -> NumberCell {
    guard !cell.isEmpty else { return .missing }
    if let value = plain(cell) { return .number(value) }
    if isMissing(cell) { return .missing }
    return decorated(cell)
  }

  /// A cell that counts steps: a whole number of so few digits that no number skips one.
  func step(_ cell: ArraySlice<UInt8>) -> Timestamp? {
    guard case .number(let value) = parse(cell), abs(value) < 1e15,
      let step = Int64(exactly: value)
    else { return nil }
    return Timestamp(secondsSinceEpoch: step)
  }

  private func plain(_ cell: ArraySlice<UInt8>) -> Double? {
    var index = cell.startIndex
    let end = cell.endIndex
    var isNegative = false
    if cell[index] == 0x2D || cell[index] == 0x2B {
      isNegative = cell[index] == 0x2D
      index += 1
    }
    let point: UInt8 = usesDecimalComma ? 0x2C : 0x2E
    var mantissa: UInt64 = 0
    var digits = 0
    var scale = 0
    var seenPoint = false
    while index < end {
      let byte = cell[index]
      if byte >= 0x30 && byte <= 0x39 {
        guard digits < 19 else { return slow(cell) }
        mantissa = mantissa &* 10 &+ UInt64(byte &- 0x30)
        digits += 1
        if seenPoint { scale += 1 }
      } else if byte == point, !seenPoint {
        seenPoint = true
      } else if byte == 0x65 || byte == 0x45 {
        return slow(cell)
      } else {
        return nil
      }
      index += 1
    }
    guard digits > 0 else { return nil }
    guard mantissa <= 9_007_199_254_740_992, scale <= 22 else { return slow(cell) }
    let value = Double(mantissa) / Self.powersOfTen[scale]
    return isNegative ? -value : value
  }

  /// The standard library's reading; nil for what is no finite decimal number.
  private func slow(_ cell: ArraySlice<UInt8>) -> Double? {
    guard cell.count <= 400 else { return nil }
    var text: [UInt8] = []
    for byte in cell {
      switch byte {
      case 0x30...0x39, 0x2B, 0x2D, 0x65, 0x45: text.append(byte)
      case 0x2E where !usesDecimalComma, 0x2C where usesDecimalComma: text.append(0x2E)
      default: return nil
      }
    }
    guard let value = Double(String(decoding: text, as: UTF8.self)), value.isFinite else {
      return nil
    }
    return value
  }

  private static let powersOfTen: [Double] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
  ]

  static let usualMissingWords = [
    "na", "n/a", "n.a.", "nan", "null", "none", "nil", "missing", "nat", "<na>", "#n/a", "#na",
    "-", ".", "?", "*",
  ]

  private func isMissing(_ cell: ArraySlice<UInt8>) -> Bool {
    guard cell.count <= 7 else { return false }
    let lowered = cell.map { lowercaseLetter($0) ?? $0 }
    return missingWords.contains(String(decoding: lowered, as: UTF8.self))
  }

  private func decorated(_ cell: ArraySlice<UInt8>) -> NumberCell {
    var text = cell
    var isNegative = false
    if let first = text.first, first == 0x28, text.last == 0x29 {  // (12.5): accountants' minus
      isNegative = true
      text = text.dropFirst().dropLast()
    } else if text.first == 0x2D {
      isNegative = true
      text = text.dropFirst()
    }
    if text.first == 0x24 {
      text = text.dropFirst()
    } else if text.starts(with: [0xE2, 0x82, 0xAC]) {
      text = text.dropFirst(3)
    } else if text.starts(with: [0xC2, 0xA3]) {
      text = text.dropFirst(2)
    }
    var factor = 1.0
    switch text.last {
    case 0x25: text = text.dropLast()
    case 0x4B, 0x6B: (factor, text) = (1e3, text.dropLast())
    case 0x4D: (factor, text) = (1e6, text.dropLast())
    case 0x42: (factor, text) = (1e9, text.dropLast())
    default: break
    }
    guard let first = text.first, digitValue(first) != nil || first == 0x2E || first == 0x2C,
      let digits = withoutThousands(text), let value = plain(digits[...])
    else { return .bad }
    let result = isNegative ? -value * factor : value * factor
    return result.isFinite ? .number(result) : .bad
  }

  /// Strips separators that stand exactly where thousands end.
  private func withoutThousands(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    let separator: UInt8 = usesDecimalComma ? 0x2E : 0x2C
    let point: UInt8 = usesDecimalComma ? 0x2C : 0x2E
    let whole = text.prefix { $0 != point }
    guard whole.contains(separator) else { return Array(text) }
    let groups = whole.split(separator: separator, omittingEmptySubsequences: false)
    guard let head = groups.first, (1...3).contains(head.count),
      groups.dropFirst().allSatisfy({ $0.count == 3 })
    else { return nil }
    return groups.flatMap { $0 } + text[whole.endIndex...]
  }

  /// Tells from a sample of cells whether commas mark decimals.
  ///
  /// - Parameters:
  ///   - cells: Trimmed cells.
  ///   - isCommaDelimited: Whether commas also part the fields, so that only quoted cells can hold one.
  /// - Returns: The style most cells speak for; the decimal point when none does.
  static func guess(from cells: [ArraySlice<UInt8>], isCommaDelimited: Bool) -> NumberStyle {
    var (comma, point) = (0, 0)
    for cell in cells where cell.contains(0x2C) {
      let body = cell.first == 0x2D || cell.first == 0x2B ? cell.dropFirst() : cell
      guard body.allSatisfy({ digitValue($0) != nil || $0 == 0x2C || $0 == 0x2E }) else { continue }
      let parts = body.split(separator: 0x2C, omittingEmptySubsequences: false)
      if parts.count > 2 {
        point += 1  // 1,234,567
      } else if let dot = body.lastIndex(of: 0x2E), let mark = body.lastIndex(of: 0x2C) {
        if dot > mark { point += 1 } else { comma += 1 }
      } else if parts[1].count != 3 || parts[0].count > 3 || parts[0].first == 0x30 {
        comma += 1
      } else if !isCommaDelimited {
        comma += 1  // 1,234 between semicolons: rather a decimal than a thousand
      }
    }
    return NumberStyle(usesDecimalComma: comma > point)
  }
}
