import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("Tables of text")
  struct TextTests {
    /// Lengths around vectors, and around the border of a block.
    static let lengths =
      Kernels.sizes + [
        Int(APUS_TEXT_BLOCK) - 1, Int(APUS_TEXT_BLOCK), 2 * Int(APUS_TEXT_BLOCK) + 65,
      ]

    /// Random bytes out of an alphabet.
    private func text(_ count: Int, seed: UInt64, of alphabet: [UInt8]) -> [UInt8] {
      random(count, seed: seed).map { alphabet[Int(abs($0) * 1_000_003) % alphabet.count] }
    }

    @Test("it finds each kind of byte wherever it stands", arguments: lengths)
    func kinds(count: Int) {
      let plain = text(count, seed: 1, of: Array("abc 019,;.-\t\n".utf8))
      let marks: [(UInt8, Int32)] = [
        (0x00, 1), (0x08, 1), (0x0E, 1), (0x1F, 1), (0x1A, 0), (0x0B, 0), (0x0C, 0), (0x80, 2),
        (0xFF, 2), (0x22, 4), (0x0D, 8), (0x7F, 0),
      ]
      onEveryTarget { target in
        #expect(apus_text_kinds(plain, count) == 0)
        for (byte, kind) in marks {
          for place in Set([0, count / 2, count - 1]) {
            var bytes = plain
            bytes[place] = byte
            if place + 1 < count { bytes[place + 1] = 0x61 }
            #expect(apus_text_kinds(bytes, count) == kind, "\(byte) at \(place), \(target)")
            #expect(apus_text_kinds_reference(bytes, count) == kind)
          }
        }
      }
    }

    @Test("a carriage return before a line feed is not alone, across vectors and blocks")
    func carriageReturn() {
      let block = Int(APUS_TEXT_BLOCK)
      onEveryTarget { target in
        for place in [0, 15, 31, 63, 64, block - 1, block] {
          var bytes = [UInt8](repeating: 0x61, count: block + 70)
          (bytes[place], bytes[place + 1]) = (0x0D, 0x0A)
          #expect(apus_text_kinds(bytes, bytes.count) == 0, "\(place), \(target)")
        }
      }
    }

    /// What a function that splits says.
    private typealias Split = (
      UnsafeMutablePointer<UInt32>, UnsafeMutablePointer<UInt32>, UnsafeMutablePointer<Int>,
      UnsafePointer<UInt8>, UnsafePointer<Int>, UnsafePointer<Int>, Int, UInt8, Int, Int
    ) -> Int32

    private func fields(
      _ bytes: [UInt8], _ split: Split, limit: Int = 1 << 20
    ) -> (starts: [UInt32], lengths: [UInt32], ends: [Int])? {
      let blocks = (bytes.count - 1) / Int(APUS_TEXT_BLOCK) + 1
      var (fields, lines) = (
        [Int](repeating: -1, count: blocks), [Int](repeating: -1, count: blocks)
      )
      apus_text_count(&fields, &lines, bytes, bytes.count, 0x2C)
      var (wantedFields, wantedLines) = (fields, lines)
      apus_text_count_reference(&wantedFields, &wantedLines, bytes, bytes.count, 0x2C)
      #expect(fields == wantedFields && lines == wantedLines)
      // A guard behind each must survive.
      var starts = [UInt32](repeating: .max, count: fields[blocks - 1] + 1)
      var lengths = starts
      var ends = [Int](repeating: -7, count: lines[blocks - 1] + 1)
      let code = split(
        &starts, &lengths, &ends, bytes, fields, lines, bytes.count, 0x2C, 1_000, limit)
      #expect(starts.last == .max && lengths.last == .max && ends.last == -7)
      return code == 0 ? (starts, lengths, ends) : nil
    }

    @Test("fields are those of the scalar reference", arguments: lengths)
    func splits(count: Int) {
      for (seed, alphabet) in ["01234567890123456789,\n", "ab \t,\n", "a,\n", "abcdefghij"]
        .enumerated()
      {
        var bytes = text(count, seed: UInt64(seed), of: Array(alphabet.utf8))
        for place in bytes.indices.dropLast() where bytes[place + 1] == 0x0A && place % 3 == 0 {
          bytes[place] = 0x0D
        }
        let expected = fields(bytes, apus_text_fields_reference)
        onEveryTarget { target in
          let found = fields(bytes, apus_text_fields)
          #expect(found?.starts == expected?.starts, "\(alphabet), \(target)")
          #expect(found?.lengths == expected?.lengths, "\(alphabet), \(target)")
          #expect(found?.ends == expected?.ends, "\(alphabet), \(target)")
        }
      }
    }

    @Test("spaces and line ends are no part of a field")
    func trims() throws {
      let found = try #require(fields(Array(" a , \t,b c\t\r\n,\nlast".utf8), apus_text_fields))
      #expect(found.starts.dropLast() == [1_001, 1_006, 1_007, 1_013, 1_014, 1_015])
      #expect(found.lengths.dropLast() == [1, 0, 3, 0, 0, 4])
      #expect(found.ends.dropLast() == [3, 5, 6])
    }

    @Test("a field beyond the limit is told, wherever it ends", arguments: [100, 300_000, 600_000])
    func limits(length: Int) {
      let bytes = [0x61, 0x2C] + [UInt8](repeating: 0x62, count: length) + [0x0A, 0x63]
      onEveryTarget { _ in
        #expect(fields(bytes, apus_text_fields, limit: length - 1) == nil)
        #expect(fields(bytes, apus_text_fields, limit: length) != nil)
      }
      #expect(fields(bytes, apus_text_fields_reference, limit: length - 1) == nil)
    }

    /// The cells, one behind the other in a text.
    private func cells(_ texts: [String]) -> (bytes: [UInt8], starts: [UInt32], lengths: [UInt32]) {
      var (bytes, starts, lengths): ([UInt8], [UInt32], [UInt32]) = ([], [], [])
      for text in texts {
        starts.append(UInt32(bytes.count))
        lengths.append(UInt32(text.utf8.count))
        bytes += Array(text.utf8)
      }
      return (bytes + [0x39], starts, lengths)
    }

    private func decimals(_ texts: [String]) -> (values: [Double], marks: apus_text_marks) {
      let cells = cells(texts)
      var values = [Double](repeating: -1, count: texts.count)
      var marks = apus_text_marks()
      apus_text_decimals_f64(
        &values, &marks, cells.bytes, cells.starts, cells.lengths, Array(texts.indices), 0,
        texts.count)
      return (values, marks)
    }

    @Test("decimals are rounded as strtod rounds them")
    func decimalValues() {
      var texts = ["0", "-0", "+7", "5.", ".5", "-.25", "9007199254740992", "0.1", "1234567.125"]
      texts += ["0000000000000000001", "0.000000000000000001", "-1.7976931348623"]
      var state: UInt64 = 7
      for _ in 0..<9_000 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let digits = String(state >> 11)
        let place = digits.index(digits.startIndex, offsetBy: Int(state % UInt64(digits.count)))
        texts.append((state & 1 == 0 ? "-" : "") + digits[..<place] + "." + digits[place...])
      }
      let values = decimals(texts).values
      for (text, value) in zip(texts, values) {
        #expect(value.bitPattern == strtod(text, nil).bitPattern, "\(text)")
      }
    }

    @Test("what is no plain decimal is left to others")
    func otherCells() {
      let texts = [
        "", "-", "+", ".", "-.", "1e3", "1,5", "1.2.3", "1 000", "12%", "NA", "--1", "0x1F", "inf",
        "9007199254740993", "12345678901234567890", "99999999999999999999", "\u{0}", "1/2", "3:4",
      ]
      let found = decimals(texts)
      #expect(found.values.allSatisfy { $0.isNaN })
      #expect(found.marks.open + found.marks.point + found.marks.small + found.marks.large == 0)
    }

    @Test("it counts how numbers are written, over blocks of rows")
    func marks() {
      let cycle = ["12", "0", "1.735", "0.735", "1234", "-1.5", "1234.567", "x", "+99.000", "1.73"]
      let marks = decimals((0..<20_000).map { cycle[$0 % 10] }).marks
      #expect((marks.open, marks.point, marks.small, marks.large) == (4_000, 8_000, 2_000, 2_000))
      #expect(marks.first_open == 2)
      #expect(decimals(["1", "2.5"]).marks.first_open == -1)
    }

    @Test("dates are seconds since 1970, and no date is left to others")
    func dates() {
      let known: [(String, Int64)] = [
        ("1970-01-01", 0), ("1969-12-31T23:59:59", -1), ("2000-02-29 12:34", 951_827_640),
        ("0001-01-01", -62_135_596_800), ("9999-12-31 23:59:59", 253_402_300_799),
        ("2024-03-01T00:00:00", 1_709_251_200), ("1900-03-01", -2_203_891_200),
      ]
      let none = [
        "", "2023-02-29", "1900-02-29", "2024-00-10", "2024-13-10", "2024-01-00", "2024-04-31",
        "0000-01-01", "2024-1-01", "2024/01/01", "2024-01-01 24:00:00", "2024-01-01 12:60",
        "2024-01-01 12:30:60", "2024-01-01x12:30", "2024-01-01 12-30", "2024-01-01 12:30.15",
        "2024-01-01 1:30:00", "20240101", "abcd-ef-gh", "2024-01-01T12:30:00Z",
      ]
      let cells = cells(known.map(\.0) + none)
      var seconds = [Int64](repeating: 5, count: cells.starts.count)
      apus_text_dates_i64(
        &seconds, cells.bytes, cells.starts, cells.lengths, Array(seconds.indices), 0,
        seconds.count)
      #expect(Array(seconds[..<known.count]) == known.map(\.1))
      #expect(seconds[known.count...].allSatisfy { $0 == .min })
    }
  }
}
