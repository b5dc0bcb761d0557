import CApusKernels
import Foundation

/// The rule of the gates of the chosen experts from p, the softmax of the router's logits.
public enum RouterRule: Sendable, Hashable {
  /// `p_i` of a single expert: not 1, or no gradient would reach the router. Fedus, Zoph and Shazeer,
  /// 2021, arXiv:2101.03961.
  case switchTransformer
  /// `p_i` over the sum of the chosen. Jiang et al., 2024, arXiv:2401.04088.
  case mixtral
  /// `p_i` over the norm of the chosen of this order; nil: `p_i`. Databricks, 2024.
  case dbrx(norm: Float?)
  /// `p_i` as it is. Lieber et al., 2024, arXiv:2403.19887.
  case jamba

  /// The order of the norm, 0 for none.
  var order: Float {
    switch self {
    case .switchTransformer, .jamba: 0
    case .mixtral: 1
    case .dbrx(let norm): norm ?? 0
    }
  }
}

/// The experts of each token and their weights, computed from a router's logits.
///
/// Of n tokens, X experts, k for each token. Softmax in float whatever the precision of products; of
/// equal logits the expert of the lower index is taken.
public struct ExpertRoutes {
  /// The chosen experts of each token in ascending order, `[n, k]` integers; −1 where a token sees
  /// fewer than k.
  public let experts: Tensor
  /// Their gates, `[n, k]`; 0 beside −1.
  public let weights: Tensor
  /// The softmax over the experts that a token sees, `[n, X]`; 0 for the others.
  public let probabilities: Tensor
  /// The rule of the gates.
  public let rule: RouterRule
  /// k.
  public let perToken: Int
  /// Logarithm of the sum of the exponentials, `[n]`.
  let logSums: Tensor
  /// Where each expert's rows begin, `[X + 1]`.
  let offsets: Tensor
  /// The place in `experts` of each row, in the order of experts, then tokens.
  let rowSlots: Tensor
  /// The row of each place, −1 beside −1.
  let slotRows: Tensor
  /// The number of pairs of token and expert.
  public let rowCount: Int

  /// Chooses experts. Records nothing: gradients reach the logits through
  /// `mixtureOfExperts(logits:routes:experts:)`.
  ///
  /// - Parameters:
  ///   - logits: The router's, `[..., X]`.
  ///   - perToken: k, in `1...X`.
  ///   - rule: How gates follow from probabilities.
  ///   - visible: `[..., X]` integers, 0 for an expert that the token must not see; nil: it sees all.
  public init(logits: Tensor, perToken: Int, rule: RouterRule, visible: Tensor? = nil) {
    let (tokens, count) = (logits.shape.rows, logits.shape.last)
    ensure(
      perToken > 0 && perToken <= count, "ExpertRoutes: \(perToken) of \(count) experts")
    ensure(
      visible?.count ?? logits.count == logits.count,
      "ExpertRoutes: logits \(logits.shape), visible is not")
    ensure(tokens <= Int(Int32.max) / perToken, "ExpertRoutes: \(tokens) tokens")
    self.rule = rule
    self.perToken = perToken
    experts = Tensor(uninitialized: [tokens, perToken], dtype: .int32)
    weights = Tensor(uninitialized: [tokens, perToken])
    probabilities = Tensor(uninitialized: [tokens, count])
    logSums = Tensor(uninitialized: [tokens])
    offsets = Tensor(uninitialized: [count + 1], dtype: .int32)
    rowSlots = Tensor(uninitialized: [tokens * perToken], dtype: .int32)
    slotRows = Tensor(uninitialized: [tokens, perToken], dtype: .int32)
    var shape = apus_route_shape(
      tokens: tokens, experts: count, chosen: perToken, norm: rule.order)
    withPointers(
      probabilities.out, logSums.out, experts.ints.out, weights.out, logits, visible?.ints
    ) { apus_expert_route_f32($0, $1, $2, $3, $4, $5, &shape) }
    rowCount = withPointers(
      offsets.ints.out, rowSlots.ints.out, slotRows.ints.out, experts.ints
    ) { apus_expert_dispatch($0, $1, $2, $3, tokens, count, perToken) }
  }

  /// X.
  public var expertCount: Int { probabilities.shape[1] }

  /// How many tokens each expert gets.
  public var counts: [Int] {
    let starts = offsets.integers
    return zip(starts, starts.dropFirst()).map { Int($1 - $0) }
  }

  /// The gradient of the logits, `[n, X]`, from that of the gates.
  func gradient(ofWeights dweights: Tensor) -> Tensor {
    let dlogits = Tensor(uninitialized: probabilities.shape)
    var shape = apus_route_shape(
      tokens: probabilities.shape[0], experts: expertCount, chosen: perToken, norm: rule.order)
    withPointers(dlogits.out, dweights, probabilities, experts.ints, weights) {
      apus_expert_route_backward_f32($0, $1, $2, $3, $4, &shape)
    }
    return dlogits
  }

  /// The gradient of the logits, `[n, X]`, of `Σ_t (Σ_i slopes[i] p_t[i] + z · logSum_t²)`.
  fileprivate func gradient(ofSlopes slopes: [Float], z: Float) -> Tensor {
    let dlogits = Tensor(uninitialized: probabilities.shape)
    withPointers(dlogits.out, probabilities, logSums) {
      apus_router_losses_backward_f32(
        $0, $1, $2, slopes, z, probabilities.shape[0], expertCount)
    }
    return dlogits
  }
}

/// How the balance of experts is measured.
public enum BalanceForm: String, Sendable, Codable {
  /// Per layer, with fractions of tokens that sum to 1, then the mean over layers: 1 at perfect
  /// balance. Fedus et al., 2021, arXiv:2101.03961, equations 4 to 6.
  case perLayer = "per_layer"
  /// Counts and probabilities of all layers pooled first, fractions that sum to k: k at perfect
  /// balance. As Hugging Face's libraries have it; a layer that collapses can hide behind another.
  case pooled
}

extension Tensor {
  /// What keeps routers in balance, as a scalar to add to a loss.
  ///
  /// `balance · X · Σ f_i P_i` with f_i the fraction of tokens that took expert i, constant for
  /// differentiation, and P_i the mean of its probability; and `z` times the mean of the squared log-sum
  /// of the logits (Zoph et al., 2022, arXiv:2202.08906, equation 5), averaged over layers.
  /// - Parameters:
  ///   - logits: Of each layer's router, `[..., X]` and alike in shape; at least one layer.
  ///   - perToken: k.
  ///   - balance: The coefficient of the balance.
  ///   - z: The coefficient of the squared log-sums.
  ///   - form: How the balance is measured.
  /// - Returns: A scalar.
  public static func routerLoss(
    _ logits: [Tensor], perToken: Int, balance: Float, z: Float = 0, form: BalanceForm = .perLayer
  ) -> Tensor {
    ensure(!logits.isEmpty, "routerLoss: no layers")
    let routes = logits.map { ExpertRoutes(logits: $0, perToken: perToken, rule: .mixtral) }
    let measures = routes.map(RouterMeasure.init)
    let layers = Double(routes.count)
    let count = routes[0].expertCount
    let sum: ([[Double]]) -> [Double] = { rows in
      (0..<count).map { i in rows.reduce(0) { $0 + $1[i] } }
    }
    // Fractions as each layer's gradient sees them.
    let fractions: [[Double]]
    let value: Double
    switch form {
    case .perLayer:
      fractions = measures.map { $0.fractions.map { $0 / Double(perToken) } }
      value =
        zip(fractions, measures).reduce(0) { $0 + dot($1.0, $1.1.probabilities) } / layers
    case .pooled:
      let pooled = sum(measures.map(\.fractions)).map { $0 / layers }
      fractions = measures.map { _ in pooled }
      value = dot(pooled, sum(measures.map(\.probabilities)).map { $0 / layers })
    }
    let squares = measures.reduce(0) { $0 + $1.square } / layers
    let loss = Tensor(Float(Double(balance) * Double(count) * value + Double(z) * squares))
    guard Tensor.records(logits) else { return loss }
    return loss.tracked(from: logits) { gradient in
      let scale = Double(gradient.scalar) / layers
      return zip(routes, fractions).map { routes, fractions in
        let tokens = routes.probabilities.shape[0]
        let share = scale / Double(max(tokens, 1))
        let slopes = fractions.map { Float(share * Double(balance) * Double(count) * $0) }
        return routes.gradient(ofSlopes: slopes, z: Float(share * Double(z)))
      }
    }
  }

  /// How much the choice of experts tells of the task, to be raised: a scalar to add to a loss.
  ///
  /// `−weight · Σ_k Σ_e P(k, e) ln(P(k, e) / (P(k) P(e)))`, in nats, averaged over layers, with all tasks
  /// equally likely and P(e | k) the mean probability of expert e over the tokens of task k. It lies
  /// between −weight · ln K and 0. Chen et al., 2022, *Mod-Squad*, arXiv:2212.08066, equation 3.
  /// - Parameters:
  ///   - logits: Of each layer's router, for each task, `[..., X]`; at least one layer and task.
  ///   - weight: γ.
  /// - Returns: A scalar.
  public static func taskInformationLoss(_ logits: [[Tensor]], weight: Float) -> Tensor {
    ensure(logits.contains { !$0.isEmpty }, "taskInformationLoss: no routers")
    // The rule of selection plays no part: only the probabilities over all experts do.
    let routes = logits.map { $0.map { ExpertRoutes(logits: $0, perToken: 1, rule: .mixtral) } }
    let scale = Double(weight) / Double(logits.count)
    var value = 0.0
    // P(k) ln(P(e | k) / P(e)), which is the slope of the information in P(e | k) as well: what P(e)
    // adds to it cancels.
    let slopes = routes.map { tasks in
      let given = tasks.map { RouterMeasure($0).probabilities }
      let share = 1 / Double(tasks.count)
      return given.map { row in
        row.enumerated().map { expert, probability in
          let all = given.reduce(0) { $0 + $1[expert] } * share
          let slope = probability > 0 ? share * log(probability / all) : 0
          value += probability * slope
          return slope
        }
      }
    }
    let sources = logits.flatMap { $0 }
    let loss = Tensor(Float(-scale * value))
    guard Tensor.records(sources) else { return loss }
    return loss.tracked(from: sources) { gradient in
      let outer = -scale * Double(gradient.scalar)
      return zip(routes.flatMap { $0 }, slopes.flatMap { $0 }).map { routes, slopes in
        let tokens = Double(max(routes.probabilities.shape[0], 1))
        return routes.gradient(ofSlopes: slopes.map { Float(outer / tokens * $0) }, z: 0)
      }
    }
  }
}

/// What the losses of a router are made of.
private struct RouterMeasure {
  /// Tokens that took each expert, over all tokens; they sum to k.
  let fractions: [Double]
  /// The mean probability of each expert.
  let probabilities: [Double]
  /// The mean of the squared log-sums.
  let square: Double

  init(_ routes: ExpertRoutes) {
    let tokens = routes.probabilities.shape[0]
    let share = 1 / Double(max(tokens, 1))
    fractions = routes.counts.map { Double($0) * share }
    let sums = routes.probabilities.columnSum(routes.expertCount)
    probabilities = sums.values.map { Double($0) * share }
    square = withPointers(routes.logSums) { apus_sum_of_squares_f32($0, tokens) } * share
  }
}

private func dot(_ a: [Double], _ b: [Double]) -> Double {
  zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
}
