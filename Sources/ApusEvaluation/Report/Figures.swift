import Foundation

/// Numbers as the report prints them: sensible digits, a real minus sign, units.
package enum Figures {
  /// The text for a number that does not exist.
  package static let missing = "–"

  /// `value` with `decimals` digits after the point, 0 to 12.
  package static func fixed(_ value: Double, _ decimals: Int) -> String {
    guard value.isFinite else { return missing }
    let places = min(max(decimals, 0), 12)
    var power = 1.0
    for _ in 0..<places { power *= 10 }
    let scaled = (abs(value) * power).rounded()
    guard scaled < 9e15 else { return scientific(value) }
    let digits = String(Int64(scaled))
    let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
    let sign = value < 0 && scaled > 0 ? "−" : ""
    guard places > 0 else { return sign + grouped(padded) }
    return sign + grouped(String(padded.dropLast(places))) + "." + padded.suffix(places)
  }

  /// `value` with `digits` significant digits, such as 0.0412 or 41.2, and 3.1e−9 when it is tiny.
  package static func significant(_ value: Double, _ digits: Int = 3) -> String {
    guard value.isFinite else { return missing }
    guard value != 0 else { return "0" }
    var exponent = Int(log10(abs(value)).rounded(.down))
    guard exponent >= -6, exponent < 15 else { return scientific(value) }
    // 0.9996 rounds up to the next power of ten and then has one digit more before the point.
    let unit = pow(10, Double(exponent + 1 - digits))
    if (abs(value) / unit).rounded() * unit >= pow(10, Double(exponent + 1)) { exponent += 1 }
    return fixed(value, digits - 1 - exponent)
  }

  /// A count with thin separators: 12 345 678.
  package static func count(_ value: Int) -> String {
    (value < 0 ? "−" : "") + grouped(String(value.magnitude))
  }

  /// A count in few characters: 950, 12.4 k, 1.21 M.
  package static func short(_ value: Double) -> String {
    guard value.isFinite else { return missing }
    let units: [(Double, String)] = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")]
    for (size, unit) in units where abs(value) >= size * 0.9995 {
      return significant(value / size) + unit
    }
    if abs(value) >= 100 || value == value.rounded() { return fixed(value, 0) }
    return abs(value) < 1 ? trimmed(significant(value)) : significant(value)
  }

  /// A round number in few characters, as at an axis: 0.03, 10 k, 1.1 M.
  package static func round(_ value: Double) -> String {
    let parts = short(value).split(separator: " ", maxSplits: 1).map(String.init)
    return ([trimmed(parts[0])] + parts.dropFirst()).joined(separator: " ")
  }

  /// Two significant digits, without zeros at the end of small numbers: 1.9, 0.003.
  package static func brief(_ value: Double) -> String {
    abs(value) < 0.1 ? trimmed(significant(value, 2)) : significant(value, 2)
  }

  /// A decimal number without the zeros at its end.
  package static func trimmed(_ digits: String) -> String {
    guard digits.contains("."), !digits.contains("e") else { return digits }
    var digits = digits
    while digits.hasSuffix("0") { digits.removeLast() }
    if digits.hasSuffix(".") { digits.removeLast() }
    return digits
  }

  /// The largest multiple of 3 whose power of ten is at most `size`; 0 for 0.
  package static func thousands(_ size: Double) -> Int {
    guard size > 0, size.isFinite else { return 0 }
    return Int((log10(size) / 3 + 1e-12).rounded(.down)) * 3
  }

  /// "×10⁻³"; `nil` for the power 0.
  package static func power(_ exponent: Int) -> String? {
    guard exponent != 0 else { return nil }
    let raised: [Character: Character] = [
      "-": "⁻", "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷",
      "8": "⁸", "9": "⁹",
    ]
    return "×10" + String("\(exponent)".compactMap { raised[$0] })
  }

  /// Bytes in decimal units: 41.2 MB.
  package static func bytes(_ value: Int) -> String {
    value < 1000
      ? "\(value) B"
      : short(Double(value)).replacing(" k", with: " kB")
        .replacing(" M", with: " MB").replacing(" G", with: " GB").replacing(" T", with: " TB")
  }

  /// A duration: 0.42 s, 19.8 s, 2 min 05 s, 3 h 20 min.
  package static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, abs(seconds) < 1e12 else { return missing }
    if seconds < 0.001 { return significant(seconds * 1e6, 2) + " µs" }
    if seconds < 0.1 { return significant(seconds * 1e3, 2) + " ms" }
    if seconds < 10 { return significant(seconds, 2) + " s" }
    if seconds < 60 { return fixed(seconds, 1) + " s" }
    let whole = Int(seconds.rounded())
    if whole < 3600 { return "\(whole / 60) min \(twoDigits(whole % 60)) s" }
    return "\(whole / 3600) h \(twoDigits(whole % 3600 / 60)) min"
  }

  /// A fraction in percent: 3.2 %; with `signed`, +3.2 % or −0.4 %.
  package static func percent(_ fraction: Double, decimals: Int = 1, signed: Bool = false)
    -> String
  {
    guard fraction.isFinite else { return missing }
    let digits = fixed(fraction * 100, decimals)
    let isZero = digits.allSatisfy { $0 == "0" || $0 == "." }
    return (signed && fraction > 0 && !isZero ? "+" : "") + digits + "\u{202F}%"
  }

  /// A skill: +3.2 %, or below −999 % for losses more than ten times that of the baseline.
  package static func skill(_ value: Double) -> String {
    value < -9.99 ? "below −999\u{202F}%" : percent(value, signed: true)
  }

  /// An interval of skills: −0.9 % to +1.7 %.
  package static func skills(_ interval: ClosedRange<Double>) -> String {
    let (low, high) = (skill(interval.lowerBound), skill(interval.upperBound))
    return low == high ? low : "\(low) to \(high)"
  }

  /// A p-value: 0.034, or <0.001.
  package static func probability(_ p: Double) -> String {
    guard p.isFinite else { return missing }
    return p < 0.001 ? "<0.001" : fixed(p, p < 0.1 ? 3 : 2)
  }

  /// A coordinate in a drawing: at most two decimals, plain ASCII.
  package static func coordinate(_ value: Double) -> String {
    guard value.isFinite, abs(value) < 1e9 else { return "0" }
    let hundredths = Int64((value * 100).rounded())
    let (whole, rest) = (abs(hundredths) / 100, abs(hundredths) % 100)
    let sign = hundredths < 0 ? "-" : ""
    if rest == 0 { return "\(sign)\(whole)" }
    return rest % 10 == 0
      ? "\(sign)\(whole).\(rest / 10)" : "\(sign)\(whole).\(twoDigits(Int(rest)))"
  }

  static func twoDigits(_ value: Int) -> String {
    value < 10 ? "0\(value)" : "\(value)"
  }

  private static func scientific(_ value: Double) -> String {
    guard value != 0, value.isFinite else { return "0" }
    let exponent = Int(log10(abs(value)).rounded(.down))
    let mantissa = value / pow(10, Double(exponent))
    return fixed(mantissa, 1) + "e" + (exponent < 0 ? "−" : "") + "\(exponent.magnitude)"
  }

  /// Groups of three from the right, from five digits on, with a narrow no-break space.
  private static func grouped(_ digits: String) -> String {
    guard digits.count > 4 else { return digits }
    var out = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { out += "\u{202F}" }
      out.append(digit)
    }
    return out
  }
}

/// How the numbers of one column are printed, so that they line up and differ where they differ.
package struct ColumnFormat: Sendable, Equatable {
  /// The power of ten the numbers are divided by, a multiple of 3.
  package let exponent: Int
  /// Digits after the point.
  package let decimals: Int

  /// Chooses four significant digits for the middle of `values`, in thousandths and so on where
  /// the numbers are small.
  package init(for values: [Double]) {
    let sizes = values.filter { $0.isFinite && $0 != 0 }.map(abs).sorted()
    guard !sizes.isEmpty else {
      (exponent, decimals) = (0, 3)
      return
    }
    let magnitude = Int(log10(sizes[sizes.count / 2]).rounded(.down))
    let isPlain = magnitude >= -2 && magnitude < 5
    exponent = isPlain ? 0 : Figures.thousands(sizes[sizes.count / 2])
    decimals = min(max(3 - (magnitude - exponent), 0), 5)
  }

  /// `value` in this column.
  package func callAsFunction(_ value: Double) -> String {
    Figures.fixed(value / pow(10, Double(exponent)), decimals)
  }

  /// What the column's title adds, such as "×10⁻³".
  package var unit: String? { Figures.power(exponent) }
}
