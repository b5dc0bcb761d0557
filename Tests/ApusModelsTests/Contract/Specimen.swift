import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// A tiny model of an architecture, in its plain form or with settings of its own.
struct Specimen: Sendable, CustomTestStringConvertible {
  let architecture: Architecture
  let overrides: [String: ConfigValue]
  let variant: String
  /// Whether the loss is the cross-entropy alone, without what keeps routers in balance.
  var isQuiet = false
  /// Whether it is smooth in the weights besides: every token takes all experts, since a choice jumps, and
  /// norms of little numbers are held back.
  var takesAllExperts = false

  static let vocabulary = 29
  /// The window of attention is shorter than the sequences of the tests.
  static let context = 48

  var testDescription: String { architecture.name + (variant.isEmpty ? "" : ", " + variant) }

  /// Every registered architecture, then variants that take other paths through the code.
  static let all: [Specimen] = {
    let plain = Architecture.all.map { Specimen(architecture: $0, overrides: [:], variant: "") }
    let variants: [(String, String, [String: ConfigValue])] = [
      ("transformer", "windowed", ["sliding_window": 5]),
      (
        "transformer", "learned positions, scaled by layer",
        [
          "position_embedding": "learned", "scale_attn_by_inverse_layer_idx": true,
          "tie_word_embeddings": false,
        ]
      ),
      (
        "transformer", "gated, grouped, without biases",
        [
          "activation_function": "swiglu", "n_inner": 20, "n_head": 4, "n_kv_head": 2,
          "normalization": "rms_norm", "use_bias": false, "position_embedding": "sinusoidal",
        ]
      ),
      (
        "transformer", "dense and banded layers in turn",
        ["sliding_window": nil, "attention_windows": [0, 5]]
      ),
      ("transformer", "without positions", ["position_embedding": "none"]),
      ("gpt1", "learned positions, silu", ["position_embedding": "learned", "afn": "silu"]),
      (
        "llama", "without a window, with biases, wide heads, untied",
        [
          "model_type": "llama", "sliding_window": nil, "num_attention_heads": 3,
          "num_key_value_heads": 1, "head_dim": 10, "attention_bias": true, "mlp_bias": true,
          "intermediate_size": 29, "tie_word_embeddings": false,
          "rope_parameters": [
            "rope_type": "yarn", "factor": 4.0, "rope_theta": 500.0,
          ],
        ]
      ),
      ("llama", "windowed", ["sliding_window": 5]),
      (
        "cohere", "with head norms and biases, untied",
        [
          "model_type": "cohere", "sliding_window": nil, "sliding_window_pattern": nil,
          "use_qk_norm": true, "attention_bias": true, "num_attention_heads": 4, "head_dim": 6,
          "num_key_value_heads": 2, "logit_scale": 0.5, "tie_word_embeddings": false,
        ]
      ),
      (
        "cohere", "windowed, every other layer without positions",
        ["sliding_window": 5, "sliding_window_pattern": 2]
      ),
      (
        "mamba", "with biases, untied",
        [
          "use_bias": true, "use_conv_bias": false, "tie_word_embeddings": false, "conv_kernel": 3,
          "time_step_rank": 3, "state_size": 5, "expand": 1,
        ]
      ),
      ("mamba", "without selection", ["selective": false, "state_size": 5]),
      (
        "mamba2", "in groups, with biases, untied, bounded steps",
        [
          "use_bias": true, "use_conv_bias": false, "tie_word_embeddings": false, "conv_kernel": 3,
          "num_heads": 6, "head_dim": 8, "n_groups": 3, "state_size": 5, "chunk_size": 7,
          "time_step_limit": [0.01, 0.9],
        ]
      ),
      (
        "reformer", "one bucket, smooth",
        ["num_buckets": 1, "hidden_act": "gelu", "lsh_attn_chunk_length": 4]
      ),
      (
        "reformer", "few long buckets, short blocks",
        [
          "num_buckets": 2, "lsh_attn_chunk_length": 3, "num_hashes": 3, "hidden_act": "gelu",
          "attn_layers": ["lsh", "lsh"], "lsh_num_chunks_before": 2, "position_embedding": "none",
        ]
      ),
      (
        "reformer", "local, axial positions",
        [
          "attn_layers": ["local", "local"], "position_embedding": "axial", "hidden_act": "silu",
          "axial_pos_shape": [6, 7], "axial_pos_embds_dim": [7, 17], "local_attn_chunk_length": 5,
          "lsh_mode": "sorted",
        ]
      ),
      (
        "performer", "rectified features, learned positions, untied",
        [
          "kernel_function": "relu", "nb_features": 5, "position_embedding_type": "learned",
          "tie_word_embeddings": false, "hidden_act": "silu", "intermediate_size": 20,
        ]
      ),
      (
        "performer", "fixed norms, without positions",
        [
          "ortho_scaling": 1, "nb_features": 33, "position_embedding_type": "none",
          "num_attention_heads": 1,
        ]
      ),
      (
        "skyformer", "odd landmarks, rotary",
        [
          "num_landmarks": 7, "position_embedding_type": "rotary", "inverse_iterations": 4,
          "num_attention_heads": 2,
        ]
      ),
      (
        "linear", "rotary, one wide head",
        ["position_embedding_type": "rotary", "num_attention_heads": 1, "hidden_act": "silu"]
      ),
      ("megalodon", "short chunks", ["chunk_size": 5]),
      (
        "megalodon", "gated, rescaled, tied",
        [
          "num_heads": 2, "swiglu": true, "rescale_nffn": true, "share_emb": true,
          "chunk_size": 7, "cema_ndim": 3,
        ]
      ),
      (
        "mixtral", "three of five, grouped, narrow heads, pooled balance",
        [
          "num_local_experts": 5, "num_experts_per_tok": 3, "num_attention_heads": 4,
          "num_key_value_heads": 2, "head_dim": 10, "sliding_window": 5,
          "tie_word_embeddings": true, "router_balance": "pooled",
        ]
      ),
      (
        "dbrx", "grouped, gates over a norm of order 2",
        [
          "attn_config": ["kv_n_heads": 1],
          "ffn_config": [
            "moe_num_experts": 5, "moe_top_k": 2, "moe_normalize_expert_weights": 2.5,
          ],
        ]
      ),
      (
        "jamba", "attention only, all routed",
        [
          "attn_layer_period": 1, "attn_layer_offset": 0, "expert_layer_period": 1,
          "expert_layer_offset": 0, "num_experts": 3, "sliding_window": 5,
        ]
      ),
      (
        "jamba", "four layers, two of each",
        [
          "num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1,
          "expert_layer_period": 2, "expert_layer_offset": 0, "num_experts": 3,
          "num_experts_per_tok": 1,
        ]
      ),
      (
        "jamba", "dense, with biases, tied",
        [
          "num_experts": 1, "mamba_proj_bias": true, "mamba_conv_bias": false, "mamba_d_conv": 3,
          "mamba_d_state": 5, "mamba_dt_rank": 3, "tie_word_embeddings": true,
        ]
      ),
      ("lstm", "untied", ["tie_word_embeddings": false]),
      (
        "s5", "fewer states than features, one block, untied",
        ["ssm_size": 10, "blocks": 1, "tie_word_embeddings": false]
      ),
      (
        "xlstm", "matrices only, short chunks, as published",
        [
          "slstm_at": [], "num_heads": 2, "qk_dim_factor": 0.25, "v_dim_factor": 0.5,
          "chunk_size": 5, "output_logit_soft_cap": 30, "tie_word_embeddings": false,
        ]
      ),
      (
        "xlstm", "scalars only, without caps and the last norm",
        ["slstm_at": [0, 1], "num_heads": 4, "gate_soft_cap": nil, "add_out_norm": false]
      ),
    ]
    return plain
      + variants.compactMap { name, variant, overrides in
        Architecture.all.first { $0.name == name }
          .map { Specimen(architecture: $0, overrides: overrides, variant: variant) }
      }
  }()

  /// Whether the loss has no jumps and bends, as the choice of a bucket makes them, so that finite
  /// differences over a distance are its slope.
  var isSmooth: Bool { !Self.jumping.contains(testDescription) }

  private static let jumping: Set = [
    "reformer", "reformer, few long buckets, short blocks",
    "performer, rectified features, learned positions, untied",
  ]

  func config() throws -> Blueprint {
    let size = BackboneSize(
      width: 24, layers: 2, context: Self.context, vocabulary: Self.vocabulary)
    let base = try architecture.configured(size: size)
    let config = try base.setting(overrides)
    let routing = Self.routing(
      config, isQuiet: isQuiet, takesAllExperts: takesAllExperts)
    return try config.setting(routing)
  }

  /// The same without losses of routers.
  var quiet: Specimen {
    var copy = self
    copy.isQuiet = true
    return copy
  }

  /// The same with all experts for each token, and without losses of routers.
  var smooth: Specimen {
    var copy = quiet
    copy.takesAllExperts = true
    return copy
  }

  /// What ``isQuiet`` and ``takesAllExperts`` ask of a configuration with experts.
  static func routing(
    _ blueprint: Blueprint, isQuiet: Bool, takesAllExperts: Bool
  ) -> [String: ConfigValue] {
    let (key, all): (String, ConfigValue)
    switch blueprint.config {
    case let config as MixtralConfig:
      (key, all) = ("num_experts_per_tok", .integer(config.numLocalExperts))
    case let config as DBRXConfig:
      (key, all) = ("ffn_config", ["moe_top_k": .integer(config.ffnConfig.moeNumExperts)])
    case let config as JambaConfig:
      (key, all) = ("num_experts_per_tok", .integer(config.numExperts))
    case is XLSTMConfig:
      // The norm behind a memory of one token turns over where the query does.
      return takesAllExperts ? ["norm_eps": 1.0] : [:]
    default: return [:]
    }
    var keys: [String: ConfigValue] = isQuiet ? ["output_router_logits": false] : [:]
    if takesAllExperts { keys[key] = all }
    return keys
  }

  /// A model whose weights are large enough for every path to matter.
  func model(seed: UInt64 = 1) throws -> LanguageModel {
    try LanguageModel(config(), key: RandomKey(seed: seed))
  }

  /// The same with every parameter moved away from its start, so that no term vanishes.
  func shakenModel(seed: UInt64 = 1) throws -> LanguageModel {
    let model = try model(seed: seed)
    for (index, parameter) in model.parameters.enumerated() {
      let noise = Tensor.random(parameter.shape, seed: seed &+ 100 &+ UInt64(index), scale: 0.2)
      parameter.set(withoutGradient { parameter.value + noise })
    }
    return model
  }

  /// Random token ids.
  func tokens(_ batch: Int, _ time: Int, seed: UInt64) -> Tensor {
    .randomIntegers([batch, time], below: Int32(Self.vocabulary), seed: seed)
  }
}

/// A part of the time axis of token ids, `[B, T]`.
func idSlice(_ ids: Tensor, times range: Range<Int>) -> Tensor {
  let time = ids.shape[1]
  let all = ids.integers
  return Tensor(
    (0..<ids.shape[0]).flatMap { row in range.map { all[row * time + $0] } },
    [ids.shape[0], range.count])
}

/// The id after each one, and −1 after the last: `[B, T]`.
func following(_ ids: Tensor) -> Tensor {
  let time = ids.shape[1]
  let all = ids.integers
  return Tensor(
    all.indices.map { $0 % time == time - 1 ? -1 : all[$0 + 1] }, ids.shape)
}

/// AdamW with the moments it needs, for overfitting in tests.
struct TestOptimizer {
  let parameters: [Parameter]
  var first: [Tensor]
  var second: [Tensor]
  var step = 0

  init(_ parameters: [Parameter]) {
    self.parameters = parameters
    first = parameters.map { Tensor(zeros: $0.shape) }
    second = first.map { $0.copied() }
  }

  mutating func update(rate: Float) {
    step += 1
    for (index, parameter) in parameters.enumerated() {
      parameter.applyAdamW(
        firstMoment: &first[index], secondMoment: &second[index], learningRate: rate, beta1: 0.9,
        beta2: 0.99, epsilon: 1e-8, weightDecay: 0, gradientScale: 1, step: step)
      parameter.clearGradient()
    }
  }
}
