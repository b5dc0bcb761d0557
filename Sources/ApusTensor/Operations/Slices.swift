import CApusKernels

extension Tensor {
  /// A part of the last axis, copied.
  ///
  /// The tensor is `[..., features]`.
  /// - Parameter range: Which features.
  /// - Returns: `[..., range.count]`.
  public subscript(features range: Range<Int>) -> Tensor {
    let width = self.shape.last
    precondition(
      range.lowerBound >= 0 && range.upperBound <= width, "slice: \(range) of \(self.shape)")
    let rows = self.shape.rows
    let y = Tensor(uninitialized: self.shape.replacingLast(with: range.count))
    apus_copy_rows_f32(
      y.floats, floats + range.lowerBound, rows, range.count, range.count, width, 0)
    guard Tensor.records(self) else { return y }
    let shape = self.shape
    return y.tracked(from: [self]) { dy in
      let dx = Tensor(zeros: shape)
      apus_copy_rows_f32(
        dx.floats + range.lowerBound, dy.floats, rows, range.count, width, range.count, 0)
      withExtendedLifetime(dy) {}
      return [dx]
    }
  }

  /// A part of the time axis, copied.
  ///
  /// The tensor is `[B, T, D]`.
  /// - Parameter range: Which times.
  /// - Returns: `[B, range.count, D]`.
  public subscript(times range: Range<Int>) -> Tensor {
    let (batch, time, width) = (self.shape[0], self.shape[1], self.shape[2])
    precondition(
      range.lowerBound >= 0 && range.upperBound <= time, "slice: \(range) of \(self.shape)")
    let (part, whole) = (range.count * width, time * width)
    let y = Tensor(uninitialized: [batch, range.count, width])
    apus_copy_rows_f32(
      y.floats, floats + range.lowerBound * width, batch, part, part, whole, 0)
    guard Tensor.records(self) else { return y }
    let shape = self.shape
    return y.tracked(from: [self]) { dy in
      let dx = Tensor(zeros: shape)
      apus_copy_rows_f32(
        dx.floats + range.lowerBound * width, dy.floats, batch, part, whole, part, 0)
      withExtendedLifetime(dy) {}
      return [dx]
    }
  }

  /// Joins tensors along the last axis: `[..., sum of features]`.
  ///
  /// - Parameter parts: Alike in all axes but the last; at least one.
  public init(concatenating parts: [Tensor]) {
    precondition(!parts.isEmpty, "concatenating: no parts")
    let widths = parts.map(\.shape.last)
    let rows = parts[0].shape.rows
    precondition(
      parts.allSatisfy { $0.shape.rows == rows },
      "concatenating: the rows of \(parts.map(\.shape)) differ")
    let width = widths.reduce(0, +)
    let y = Tensor(uninitialized: parts[0].shape.replacingLast(with: width))
    var offset = 0
    for (part, size) in zip(parts, widths) {
      apus_copy_rows_f32(y.floats + offset, part.floats, rows, size, width, size, 0)
      offset += size
    }
    withExtendedLifetime(parts) {}
    guard parts.contains(where: \.isTracked), Arithmetic.current.recordsGradients else {
      self = y
      return
    }
    let (shapes, whole) = (parts.map(\.shape), y.shape)
    self = y.tracked(from: parts) { dy in
      let dy = dy.reshaped(whole)  // gradients come flat
      var offset = 0
      return shapes.map { shape in
        defer { offset += shape.last }
        return dy[features: offset..<offset + shape.last].reshaped(shape)
      }
    }
  }

  /// Joins tensors one behind the other, `[rows of all, features]`: rows of the last axis, whatever
  /// the axes before it.
  ///
  /// - Parameter parts: Alike in their last axis; at least one.
  public init(stacking parts: [Tensor]) {
    precondition(!parts.isEmpty, "stacking: no parts")
    let width = parts[0].shape.last
    precondition(
      parts.allSatisfy { $0.shape.last == width },
      "stacking: the last axes of \(parts.map(\.shape)) differ")
    let rows = parts.map(\.shape.rows)
    let y = Tensor(uninitialized: [rows.reduce(0, +), width])
    var first = 0
    for (part, count) in zip(parts, rows) {
      apus_copy_rows_f32(y.floats + first * width, part.floats, count, width, width, width, 0)
      first += count
    }
    withExtendedLifetime(parts) {}
    guard parts.contains(where: \.isTracked), Arithmetic.current.recordsGradients else {
      self = y
      return
    }
    let shapes = parts.map(\.shape)
    self = y.tracked(from: parts) { dy in
      var first = 0
      return shapes.map { shape in
        let dx = Tensor(uninitialized: shape)
        apus_copy_rows_f32(
          dx.floats, dy.floats + first * width, shape.rows, width, width, width, 0)
        first += shape.rows
        withExtendedLifetime(dy) {}
        return dx
      }
    }
  }
}
