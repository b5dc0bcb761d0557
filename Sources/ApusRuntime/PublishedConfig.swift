import ApusModels
import ApusTensor
import Foundation

/// The `config.json` of a model as other programs are to read it.
enum PublishedConfig {
  /// The configuration of a language model, over the file that it came from.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - published: The file it came from; nil for a model of our own.
  ///   - dtype: The type that the weights are saved in.
  /// - Returns: The file's content.
  /// - Throws: ``ConfigError`` when `published` is no configuration.
  static func merged(_ model: LanguageModel, over published: Data?, dtype: DType) throws -> Data {
    try merged(
      model.blueprint.config, over: published,
      className: model.blueprint.facts.transformersClass, dtype: dtype)
  }

  /// The same of any configuration.
  ///
  /// Where the file already says what the model is, it stays word for word but for the type of the
  /// weights: keys that Apus does not know, such as those of other programs, survive.
  static func merged<Config: ModelConfig>(
    _ config: Config, over published: Data?, className: String?, dtype: DType
  ) throws -> Data {
    let own = try config.json()
    var result = try object(own)
    if let published {
      result = try object(published)
      let again = try? Config(json: published).json()
      if again != own {
        for member in try object(own).members ?? [] {
          result = result.setting(member.key, to: member.value)
        }
      }
    }
    let names = result["architectures"]
    if names == nil || names == .null, let className {
      result = result.setting("architectures", to: .array([.string(className)]))
    }
    // Files of older programs say torch_dtype.
    let isOld = result["torch_dtype"] != nil && result["dtype"] == nil
    result = result.setting(isOld ? "torch_dtype" : "dtype", to: .string(typeName(dtype)))
    return Data((result.text() + "\n").utf8)
  }

  private static func object(_ json: Data) throws -> JSONValue {
    let value = try JSONValue(json, name: "config.json")
    guard case .object = value else {
      throw ConfigError.notAnObject(reason: "the outermost value is something else")
    }
    return value
  }

  private static func typeName(_ dtype: DType) -> String {
    switch dtype {
    case .float32: "float32"
    case .bfloat16: "bfloat16"
    case .float16: "float16"
    case .int32: "int32"
    }
  }
}
