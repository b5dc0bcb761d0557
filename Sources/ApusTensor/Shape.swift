/// The sizes of a tensor, outermost axis first. `[B, T, D]` is batch, time, features.
public struct Shape: Sendable, Hashable {
  /// The size of each axis; none may be negative.
  public let dimensions: [Int]

  /// Creates a shape from its sizes.
  public init(_ dimensions: [Int]) {
    precondition(dimensions.allSatisfy { $0 >= 0 }, "Shape \(dimensions) has a negative size")
    self.dimensions = dimensions
  }

  /// The number of axes.
  public var rank: Int { dimensions.count }

  /// The number of elements of a tensor of this shape; 1 for a scalar.
  public var count: Int { dimensions.reduce(1, *) }

  /// The size of the last axis; 1 for a scalar.
  public var last: Int { dimensions.last ?? 1 }

  /// The number of rows when all axes but the last are joined.
  public var rows: Int { dimensions.dropLast().reduce(1, *) }

  /// The size of `axis`; negative axes count from the end.
  public subscript(axis: Int) -> Int {
    dimensions[axis < 0 ? dimensions.count + axis : axis]
  }

  /// This shape with another size for the last axis.
  public func replacingLast(with size: Int) -> Shape { Shape(dimensions.dropLast() + [size]) }
}

extension Shape: ExpressibleByArrayLiteral {
  /// Creates a shape from its sizes.
  public init(arrayLiteral elements: Int...) { self.init(elements) }
}

extension Shape: CustomStringConvertible {
  /// The text, as in `[2, 3]`.
  public var description: String {
    "[" + dimensions.map(String.init).joined(separator: ", ") + "]"
  }
}
