import Foundation
import Testing

/// Tests that compare bits, count memory, or switch threads and instruction sets for the whole
/// process, one after the other. A file adds its suite in an extension.
@Suite("Engine", .serialized)
enum Engine {}

/// The row-major matrix product `[rows, inner] · [columns, inner]ᵀ` in double.
func productTransposed(_ a: [Double], _ b: [Double], inner: Int) -> [Double] {
  let (rows, columns) = (a.count / inner, b.count / inner)
  var c = [Double](repeating: 0, count: rows * columns)
  for i in 0..<rows {
    for j in 0..<columns {
      var sum = 0.0
      for k in 0..<inner { sum += a[i * inner + k] * b[j * inner + k] }
      c[i * columns + j] = sum
    }
  }
  return c
}

func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
func softplus(_ x: Double) -> Double { x > 30 ? x : log1p(exp(x)) }
func silu(_ x: Double) -> Double { x * sigmoid(x) }
