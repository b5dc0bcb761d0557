import CApusKernels

extension Tensor {
  /// A part of the last axis, copied.
  ///
  /// The tensor is `[..., features]`.
  /// - Parameter range: Which features.
  /// - Returns: `[..., range.count]`.
  public subscript(features range: Range<Int>) -> Tensor {
    let (rows, width) = (shape.rows, shape.last)
    ensure(
      range.lowerBound >= 0 && range.upperBound <= width, "[features: \(range)] of \(shape)")
    return part(
      shape.replacingLast(with: range.count), rows: rows, size: range.count, stride: width,
      offset: range.lowerBound)
  }

  /// A part of the time axis, copied.
  ///
  /// The tensor is `[B, T, D]`.
  /// - Parameter range: Which times.
  /// - Returns: `[B, range.count, D]`.
  public subscript(times range: Range<Int>) -> Tensor {
    let (batch, time, width) = (shape[0], shape[1], shape[2])
    ensure(range.lowerBound >= 0 && range.upperBound <= time, "[times: \(range)] of \(shape)")
    return part(
      [batch, range.count, width], rows: batch, size: range.count * width, stride: time * width,
      offset: range.lowerBound * width)
  }

  /// The tensor of `size` elements from `offset` on of each of `rows` rows, `stride` apart.
  private func part(_ shape: Shape, rows: Int, size: Int, stride: Int, offset: Int) -> Tensor {
    let y = Tensor(uninitialized: shape)
    withPointers(y.out, self) {
      apus_copy_rows_f32($0, $1 + offset, rows, size, size, stride, 0)
    }
    guard Tensor.records(self) else { return y }
    let whole = self.shape
    return y.tracked(from: [self]) { dy in
      let dx = Tensor(zeros: whole)
      withPointers(dx.out, dy) {
        apus_copy_rows_f32($0 + offset, $1, rows, size, stride, size, 0)
      }
      return [dx]
    }
  }

  /// Joins tensors along the last axis: `[..., sum of features]`.
  ///
  /// - Parameter parts: Alike in all axes but the last; at least one.
  public init(concatenating parts: [Tensor]) {
    ensure(!parts.isEmpty, "concatenating: no parts")
    let widths = parts.map(\.shape.last)
    let rows = parts[0].shape.rows
    ensure(
      parts.allSatisfy { $0.shape.rows == rows },
      "concatenating: the rows of \(parts.map(\.shape)) differ")
    let width = widths.reduce(0, +)
    let y = Tensor(uninitialized: parts[0].shape.replacingLast(with: width))
    var offset = 0
    for (part, size) in zip(parts, widths) {
      withPointers(y.out, part) {
        apus_copy_rows_f32($0 + offset, $1, rows, size, width, size, 0)
      }
      offset += size
    }
    guard Tensor.records(parts) else {
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
    ensure(!parts.isEmpty, "stacking: no parts")
    let width = parts[0].shape.last
    ensure(
      parts.allSatisfy { $0.shape.last == width },
      "stacking: the last axes of \(parts.map(\.shape)) differ")
    let rows = parts.map(\.shape.rows)
    let y = Tensor(uninitialized: [rows.reduce(0, +), width])
    var first = 0
    for (part, count) in zip(parts, rows) {
      withPointers(y.out, part) {
        apus_copy_rows_f32($0 + first * width, $1, count, width, width, width, 0)
      }
      first += count
    }
    guard Tensor.records(parts) else {
      self = y
      return
    }
    let shapes = parts.map(\.shape)
    self = y.tracked(from: parts) { dy in
      var first = 0
      return shapes.map { shape in
        let dx = Tensor(uninitialized: shape)
        withPointers(dx.out, dy) {
          apus_copy_rows_f32($0, $1 + first * width, shape.rows, width, width, width, 0)
        }
        first += shape.rows
        return dx
      }
    }
  }
}
