public import Foundation

extension ComparisonRecord {
  /// The record as JSON, keys in snake case and sorted, so that equal records are equal bytes.
  ///
  /// Infinities and NaN are written as the strings "inf", "-inf" and "nan".
  /// - Throws: `EncodingError`.
  public func json() throws -> Data {
    try JSONEncoder.apusRecord.encode(self)
  }

  /// Reads a record written by ``json()``.
  /// - Throws: `DecodingError` that names the key that is missing or of another type.
  public init(json data: Data) throws {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    self = try decoder.decode(ComparisonRecord.self, from: data)
  }
}

extension JSONEncoder {
  /// The encoder of all stored records.
  static var apusRecord: JSONEncoder {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return encoder
  }
}
