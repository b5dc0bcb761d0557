package import Foundation

/// JSON as published files have it.
package enum PublishedJSON {
  /// The value in `data`.
  ///
  /// Python writes numbers that JSON has no word for as `Infinity`, `-Infinity` and `NaN`. Each is read
  /// as transformers writes it since: `{"__float__": "Infinity"}`.
  /// - Parameter data: The file's content.
  /// - Returns: What `JSONSerialization` makes of it.
  /// - Throws: What `JSONSerialization` finds wrong with it.
  package static func value(_ data: Data) throws -> Any {
    do {
      return try JSONSerialization.jsonObject(with: data)
    } catch {
      guard let value = try? JSONSerialization.jsonObject(with: withoutWords(data)) else {
        throw error
      }
      return value
    }
  }

  private static func withoutWords(_ data: Data) -> Data {
    let words = ["-Infinity", "Infinity", "NaN"].map { ($0, Array($0.utf8)) }
    let bytes = Array(data)
    var (result, index, isInString) = (Data(), 0, false)
    while index < bytes.count {
      if !isInString, let (word, found) = words.first(where: { bytes[index...].starts(with: $0.1) })
      {
        result.append(contentsOf: "{\"__float__\": \"\(word)\"}".utf8)
        index += found.count
        continue
      }
      let byte = bytes[index]
      result.append(byte)
      if isInString, byte == UInt8(ascii: "\\"), index + 1 < bytes.count {
        index += 1
        result.append(bytes[index])
      } else if byte == UInt8(ascii: "\"") {
        isInString.toggle()
      }
      index += 1
    }
    return result
  }
}
