import ApusModels
import ApusTensor
import Foundation

/// The `config.json` of a model as other programs are to read it.
enum PublishedConfig {
  /// The configuration of a model, over the file that it came from.
  ///
  /// Where the file already says what the model is, it stays word for word but for the type of the
  /// weights: keys that Apus does not know, such as names of activations in other programs, survive.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - published: The file it came from; nil for a model of our own.
  ///   - dtype: The type that the weights are saved in.
  /// - Returns: The file's content.
  /// - Throws: ``ConfigError`` when `published` is no configuration.
  static func merged(_ model: LanguageModel, over published: Data?, dtype: DType) throws -> Data {
    let own = try object(model.config.json())
    var result = own
    if let published {
      result = try object(published)
      let again = try? model.architecture.makeConfiguration(json: published).json()
      if try again != model.config.json() { result.merge(own) { $1 } }
    }
    if result["architectures"] == nil, let name = className(own) {
      result["architectures"] = [name]
    }
    // Files of older programs say torch_dtype.
    let key = result["torch_dtype"] != nil && result["dtype"] == nil ? "torch_dtype" : "dtype"
    result[key] = typeName(dtype)
    return try JSONSerialization.data(
      withJSONObject: result, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
  }

  private static func object(_ json: Data) throws -> [String: Any] {
    guard let object = try? PublishedJSON.value(json) as? [String: Any] else {
      throw ConfigError.notAnObject(reason: "the text is not a valid JSON object")
    }
    return object
  }

  private static func typeName(_ dtype: DType) -> String {
    switch dtype {
    case .float32: "float32"
    case .bfloat16: "bfloat16"
    case .float16: "float16"
    case .int32: "int32"
    }
  }

  /// What transformers calls the model; nil when it would compute something else from this file.
  private static func className(_ config: [String: Any]) -> String? {
    guard let type = config["model_type"] as? String else { return nil }
    if type == "gpt2" {
      let isPlain =
        config["position_embedding"] as? String == "learned"
        && config["normalization"] as? String == "layer_norm"
        && config["activation_function"] as? String != "swiglu"
        && config["use_bias"] as? Bool == true && config["n_kv_head"] == nil
        && config["sliding_window"] == nil
      return isPlain ? "GPT2LMHeadModel" : nil
    }
    return classNames[type]
  }

  private static let classNames = [
    "cohere": "CohereForCausalLM", "cohere2": "Cohere2ForCausalLM", "dbrx": "DbrxForCausalLM",
    "gpt_neo": "GPTNeoForCausalLM", "jamba": "JambaForCausalLM", "llama": "LlamaForCausalLM",
    "mamba": "MambaForCausalLM", "mamba2": "Mamba2ForCausalLM", "mistral": "MistralForCausalLM",
    "mixtral": "MixtralForCausalLM", "openai-gpt": "OpenAIGPTLMHeadModel",
    "reformer": "ReformerModelWithLMHead",
  ]
}
