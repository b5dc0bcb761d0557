import CApusKernels

extension Tensor {
  /// Rows by number, copied. A row may be taken several times: its gradients add up.
  ///
  /// The tensor is `[..., features]`.
  /// - Parameter rows: `[N]` integers, numbers of rows when all axes but the last are joined.
  /// - Returns: `[N, features]`.
  public func gathered(rows: Tensor) -> Tensor {
    rows.embedded(in: reshaped([shape.rows, shape.last]))
  }

  /// The mean over the first so many times of each sequence; what comes after has no influence.
  ///
  /// The tensor is `[B, T, D]`.
  /// - Parameter lengths: How many times of each sequence count, B numbers in `1...T`.
  /// - Returns: `[B, D]`.
  public func timeMean(lengths: [Int]) -> Tensor {
    let (batch, time, width) = (shape[0], shape[1], shape[2])
    ensure(
      lengths.count == batch && lengths.allSatisfy { (1...time).contains($0) },
      "timeMean: x is \(shape), the lengths are \(lengths)")
    let y = Tensor(uninitialized: [batch, width])
    withPointers(y.out, self) { y, x in
      for (row, length) in lengths.enumerated() {
        let mean = y + row * width
        apus_column_sum_f32(mean, x + row * time * width, length, width, width, 0)
        apus_scale_f32(mean, mean, 1 / Float(length), width)
      }
    }
    guard Tensor.records(self) else { return y }
    // Every time of a sequence gets the same row of a table, those after its end a row of zeros.
    let rows = Tensor(
      lengths.enumerated().flatMap { row, length in
        (0..<time).map { Int32($0 < length ? row : batch) }
      }, [batch * time])
    return y.tracked(from: [self]) { dy in
      let table = Tensor(zeros: [batch + 1, width])
      withPointers(table.out, dy) { table, dy in
        for (row, length) in lengths.enumerated() {
          apus_scale_f32(table + row * width, dy + row * width, 1 / Float(length), width)
        }
      }
      return [rows.embedded(in: table)]
    }
  }
}
