import CApusKernels

/// Rows of a table by id.
///
/// - Parameters:
///   - ids: `[...]` integers in `0..<vocabulary`; others are the caller's mistake and trap.
///   - table: `[vocabulary, features]`.
/// - Returns: `[..., features]`.
public func embedding(_ ids: Tensor, table: Tensor) -> Tensor {
  let (vocabulary, features) = (table.shape[0], table.shape[1])
  let rows = ids.count
  for id in UnsafeBufferPointer(start: ids.ints, count: rows) {
    precondition(id >= 0 && id < vocabulary, "embedding: id \(id) of a table \(table.shape)")
  }
  let y = Tensor(uninitialized: Shape(ids.shape.dimensions + [features]))
  apus_embedding_f32(y.floats, table.floats, ids.ints, rows, features)
  withExtendedLifetime((ids, table)) {}
  guard Tensor.records(table) else { return y }
  let shape = table.shape
  return y.tracked(from: [table]) { dy in
    let dtable = Tensor(zeros: shape)
    apus_embedding_backward_f32(dtable.floats, dy.floats, ids.ints, rows, features, vocabulary)
    withExtendedLifetime((dy, ids)) {}
    return [dtable]
  }
}
