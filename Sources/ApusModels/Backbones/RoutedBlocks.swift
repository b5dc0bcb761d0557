import ApusNN
import ApusTensor
import Foundation

/// Brings experts that a file keeps in two tensors of three axes into one matrix for each expert.
///
/// `…experts.gate_up_proj` is `[X, 2F, D]` with the gate's rows first, `…experts.down_proj` is
/// `[X, D, F]`. Files that have the matrices apart pass unchanged.
/// - Parameters:
///   - tensors: By name.
///   - old: The part of the names to be replaced where the file has the fused tensors.
///   - new: What replaces it.
///   - experts: X.
///   - names: What gate, up and down are called after the expert's number.
/// - Returns: The tensors with the experts apart.
/// - Throws: ``CheckpointError/shapeMismatch(name:found:expected:)``.
func splitExperts(
  _ tensors: [String: Tensor], from old: String, to new: String, experts: Int, names: [String]
) throws -> [String: Tensor] {
  let (fused, downs) = ("experts.gate_up_proj", "experts.down_proj")
  var result: [String: Tensor] = [:]
  for (name, tensor) in tensors {
    let renamed = old == new ? name : name.replacingFirst(old, with: new)
    let isFused = name.hasSuffix(fused)
    guard isFused || name.hasSuffix(downs) else {
      result[renamed] = tensor
      continue
    }
    guard
      tensor.shape.rank == 3, tensor.shape[0] == experts, !isFused || tensor.shape[1] % 2 == 0
    else {
      throw CheckpointError.shapeMismatch(
        name: name, found: tensor.shape,
        expected: Shape([experts] + tensor.shape.dimensions.dropFirst()))
    }
    let prefix = String(renamed.dropLast((isFused ? fused : downs).count)) + "experts."
    let rows = tensor.shape[1]
    let kinds = isFused ? [names[0], names[1]] : [names[2]]
    let height = rows / kinds.count
    for expert in 0..<experts {
      for (index, kind) in kinds.enumerated() {
        let first = expert * rows + index * height
        result["\(prefix)\(expert).\(kind).weight"] =
          tensor.block(rows: first..<first + height)
      }
    }
  }
  return result
}

extension String {
  /// This text with the first occurrence of `old` replaced.
  fileprivate func replacingFirst(_ old: String, with new: String) -> String {
    range(of: old).map { replacingCharacters(in: $0, with: new) } ?? self
  }
}
