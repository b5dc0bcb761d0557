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

/// How the numbers of a column are written.
public struct NumberStyle: Codable, Equatable, Sendable {
  /// `1.234,5` instead of `1,234.5`.
  public var usesDecimalComma = false
  /// What stands for a missing number, in lower case and at most 24 bytes, beside an empty
  /// cell.
  public var missingWords = usualMissingWords

  /// The longest word for a missing number, in bytes.
  static let longestWord = 24

  /// Reads one trimmed cell.
  ///
  /// Plain decimals of up to 15 digits go the short way, where one exact product or quotient rounds
  /// correctly (Clinger, 1990, *How to Read Floating Point Numbers Accurately*); the rest goes to the
  /// standard library, which rounds correctly too. Beyond plain numbers: separators of thousands (comma or
  /// point, space, apostrophe, underscore), a currency before or behind, a percent sign behind (kept as
  /// percent), a minus in front, behind, or as accountants' brackets, and K, M, B (thousand, million,
  /// billion).
  func parse(_ cell: ArraySlice<UInt8>) -> NumberCell {
    guard !cell.isEmpty else { return .missing }
    if let value = plain(cell) {
      // A person may name numbers that stand for none, such as -999.
      let isCode = missingWords.count > Self.usualMissingWords.count && isMissing(cell)
      return isCode ? .missing : .number(value)
    }
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
    "-", ".", "..", "...", "?", "*", "#n/a n/a", "#n/a n.a.", "#n/v", "#nv", "n.v.", "k.a.", "-nan",
    "1.#ind", "1.#qnan", "-1.#ind", "-1.#qnan", "#value!", "#ref!", "#div/0!", "#name?", "#num!",
    "#null!", "(null)", "\\n", "\u{2013}", "\u{2014}", "nd", "n.d.", "s.d.",
  ]

  /// Whether a cell is one of the words for a missing number.
  func isMissing(_ cell: ArraySlice<UInt8>) -> Bool {
    guard cell.count <= Self.longestWord else { return false }
    return missingWords.contains(Self.word(cell))
  }

  /// A cell as a word for a missing number is kept: in lower case.
  static func word(_ cell: ArraySlice<UInt8>) -> String {
    String(decoding: cell.map { lowercaseLetter($0) ?? $0 }, as: UTF8.self)
  }

  private func decorated(_ cell: ArraySlice<UInt8>) -> NumberCell {
    guard let body = NumberBody(cell), let digits = withoutThousands(body.digits),
      !digits.isEmpty, let value = plain(digits[...])
    else { return .bad }
    let result = body.isNegative ? -value * body.factor : value * body.factor
    return result.isFinite ? .number(result) : .bad
  }

  /// Strips separators that stand exactly where thousands end.
  private func withoutThousands(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    let point: UInt8 = usesDecimalComma ? 0x2C : 0x2E
    let whole = text.prefix { $0 != point }
    guard let separator = whole.first(where: { digitValue($0) == nil }) else { return Array(text) }
    guard separator == (usesDecimalComma ? 0x2E : 0x2C) || NumberBody.neutral.contains(separator)
    else { return nil }
    let groups = whole.split(separator: separator, omittingEmptySubsequences: false)
    guard let head = groups.first, (1...3).contains(head.count) else { return nil }
    let rest = groups.dropFirst()
    // 12,34,567: lakh and crore count two digits to a group above the thousands.
    let isIndian =
      rest.count > 1 && rest.last?.count == 3 && head.count <= 2
      && rest.dropLast().allSatisfy { $0.count == 2 }
    guard rest.allSatisfy({ $0.count == 3 }) || isIndian else { return nil }
    return groups.flatMap { $0 } + text[whole.endIndex...]
  }
}

/// A number without what stands around it: sign, currency, percent sign, unit of thousands.
struct NumberBody {
  /// Digits, marks and separators; special spaces and apostrophes as single bytes.
  private(set) var digits: ArraySlice<UInt8>
  private(set) var isNegative = false
  private(set) var factor = 1.0

  /// Separators of thousands that are no decimal mark anywhere: space, apostrophe, underscore.
  static let neutral: [UInt8] = [0x20, 0x27, 0x5F]

  /// Takes a cell apart; nil where digits do not make its core.
  init?(_ cell: ArraySlice<UInt8>) {
    guard cell.count <= 64, cell.contains(where: { digitValue($0) != nil }) else { return nil }
    var text = Self.simplified(cell)
    if text.first == 0x28, text.last == 0x29 {  // (12.5): accountants' minus
      isNegative = true
      text = text.dropFirst().dropLast()
    }
    Self.strip(&text, isNegative: &isNegative)
    guard let end = text.lastIndex(where: { digitValue($0) != nil || $0 == 0x2E || $0 == 0x2C })
    else { return nil }
    let tail = text[(end + 1)...].drop { $0 == 0x20 }
    text = text[...end]
    guard let factor = Self.factor(of: tail, isNegative: &isNegative) else { return nil }
    self.factor = factor
    guard let first = text.first, digitValue(first) != nil || first == 0x2E || first == 0x2C else {
      return nil
    }
    digits = text
  }

  /// Signs and a currency in front, in any order.
  private static func strip(_ text: inout ArraySlice<UInt8>, isNegative: inout Bool) {
    var hasSign = isNegative
    while let first = text.first, digitValue(first) == nil {
      if first == 0x20 {
        text = text.dropFirst()
      } else if !hasSign, first == 0x2D || first == 0x2B {
        hasSign = true
        isNegative = first == 0x2D
        text = text.dropFirst()
      } else if let currency = currencies.first(where: { text.starts(with: $0) }) {
        text = text.dropFirst(currency.count)
      } else {
        return
      }
    }
  }

  /// What a tail multiplies by: 1 for a percent sign or a currency; nil for a tail that is none of these.
  private static func factor(of tail: ArraySlice<UInt8>, isNegative: inout Bool) -> Double? {
    var tail = tail
    if tail.first == 0x2D, !isNegative {  // 12.5-: the minus of SAP
      isNegative = true
      tail = tail.dropFirst()
    }
    if tail.isEmpty || tail.elementsEqual([0x25]) { return 1 }
    if let factor = factors[String(decoding: tail, as: UTF8.self)] { return factor }
    return currencies.contains { $0.elementsEqual(tail) } ? 1 : nil
  }

  private static let factors: [String: Double] = [
    "k": 1e3, "K": 1e3, "M": 1e6, "mn": 1e6, "Mio": 1e6, "Mio.": 1e6, "B": 1e9, "bn": 1e9,
    "Mrd": 1e9, "Mrd.": 1e9,
  ]

  private static let currencies: [[UInt8]] =
    [
      "US$", "R$", "A$", "C$", "HK$", "$", "€", "£", "¥", "₹", "₽", "₩", "₺", "zł", "Kč", "kr.",
      "kr",
      "EUR", "USD", "GBP", "CHF", "JPY", "CNY", "SEK", "NOK", "DKK", "PLN", "CZK", "AUD", "CAD",
      "INR",
      "BRL", "Rs.", "Rs", "Fr.",
    ].map { Array($0.utf8) } + [[0xA3], [0x80]]  // pound of Latin-1, euro of Windows-1252

  /// The cell with special spaces, apostrophes and the minus of typography as plain bytes.
  private static func simplified(_ cell: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    guard cell.contains(where: { $0 >= 0x80 }) else { return cell }
    let forms: [(from: [UInt8], to: UInt8)] = [
      ([0xC2, 0xA0], 0x20), ([0xE2, 0x80, 0xAF], 0x20), ([0xE2, 0x80, 0x89], 0x20),
      ([0xE2, 0x80, 0x99], 0x27), ([0xE2, 0x88, 0x92], 0x2D), ([0xA0], 0x20),
    ]
    var result: [UInt8] = []
    var rest = cell
    while let byte = rest.first {
      if byte >= 0x80, let form = forms.first(where: { rest.starts(with: $0.from) }) {
        result.append(form.to)
        rest = rest.dropFirst(form.from.count)
      } else {
        result.append(byte)
        rest = rest.dropFirst()
      }
    }
    return result[...]
  }
}
