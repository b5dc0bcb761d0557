/// What a model's folder, a safetensors file or a `config.json` holds, from headers alone: no weight
/// is read, so a model of any size can be looked at.
public struct ModelInspection: Sendable, Equatable, Encodable {
  /// A file of weights.
  public struct Shard: Sendable, Equatable, Encodable {
    /// The file's name.
    public var name: String
    /// Its size; nil when it is missing.
    public var bytes: Int?
    /// Tensors in it.
    public var tensors: Int
  }

  /// One tensor.
  public struct TensorEntry: Sendable, Equatable, Encodable {
    /// The published name.
    public var name: String
    /// The sizes.
    public var shape: [Int]
    /// The type as written in the file, such as BF16; nil when there is a configuration only.
    public var dtype: String?
    /// Bytes in the file; nil when there is a configuration only.
    public var bytes: Int?
    /// The file that holds it.
    public var file: String?
  }

  /// What a model remembers of one sequence, in float32 as Apus keeps it.
  public struct StateSize: Sendable, Equatable, Encodable {
    /// The part that does not grow.
    public var fixedBytes: Int
    /// What each token adds: keys and values; 0 for a recurrent model.
    public var bytesPerToken: Int
    /// The number of tokens after which the state stops growing; nil when it always grows.
    public var window: Int?
  }

  /// What was looked at.
  public var path: String
  /// The `model_type` of `config.json`; nil without one.
  public var modelType: String?
  /// The architecture's name in `apus models`; nil when it is none.
  public var architecture: String?
  /// Whether Apus can run it, and if not, why.
  public var canRun: Bool
  /// Why it cannot run; nil when it can.
  public var obstacle: String?
  /// The most important keys of the configuration.
  public var config: [String: Int]
  /// Numbers in all weights.
  public var parameters: Int
  /// Those that take part in one token: fewer where a router chooses among experts. Nil when the
  /// configuration does not say.
  public var activeParameters: Int?
  /// Numbers by the type they are stored in; empty when there is a configuration only.
  public var dtypes: [String: Int]
  /// Bytes of the files with weights.
  public var bytesOnDisk: Int
  /// Bytes of the weights in float32, as Apus runs them.
  public var float32Bytes: Int
  /// Bytes of the weights in bfloat16.
  public var bfloat16Bytes: Int
  /// Nil for what cannot run, and for encoders, which remember nothing.
  public var state: StateSize?
  /// The files of weights.
  public var shards: [Shard]
  /// The files of the tokenizer that are there.
  public var tokenizer: [String]
  /// All tensors by name.
  public var tensors: [TensorEntry]
}
