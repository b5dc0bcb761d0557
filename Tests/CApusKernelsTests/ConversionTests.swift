import CApusKernels
import Testing

extension Kernels {
  @Suite("Conversions to and from 16 bits")
  struct ConversionTests {
    @Test("it widens every half exactly")
    func halves() {
      let bits = (0...UInt16.max).map { $0 }
      onEveryTarget { target in
        let floats = output(bits.count) { apus_f16_to_f32($0, bits, bits.count) }
        let wrong = bits.first { bit in
          let (actual, expected) = (floats[Int(bit)], Float(Float16(bitPattern: bit)))
          return expected.isNaN ? !actual.isNaN : actual.bitPattern != expected.bitPattern
        }
        #expect(wrong == nil, "\(target)")
      }
    }

    @Test("it widens every bfloat exactly")
    func bfloats() {
      let bits = (0...UInt16.max).map { $0 }
      onEveryTarget { target in
        let floats = output(bits.count) { apus_bf16_to_f32($0, bits, bits.count) }
        let wrong = bits.first { floats[Int($0)].bitPattern != UInt32($0) << 16 }
        #expect(wrong == nil, "\(target)")
      }
    }

    /// Every sign and exponent, with mantissas around the ties of both formats.
    static let floats: [Float] = {
      let mantissas: [UInt32] = [
        0, 1, 0x0FFF, 0x1000, 0x1001, 0x2FFF, 0x3000, 0x3001, 0x7FFF, 0x8000, 0x8001, 0x1_7FFF,
        0x1_8000, 0x1_8001, 0x40_0000, 0x55_5555, 0x7F_DFFF, 0x7F_E000, 0x7F_EFFF, 0x7F_F000,
        0x7F_F001, 0x7F_7FFF, 0x7F_8000, 0x7F_FFFF,
      ]
      return (0..<512).flatMap { high in
        mantissas.map { Float(bitPattern: UInt32(high) << 23 | $0) }
      }
    }()

    @Test("it rounds to the nearest half, ties to even")
    func toHalf() {
      let x = Self.floats
      onEveryTarget { target in
        var y = [UInt16](repeating: 0xDEAD, count: x.count)
        apus_f32_to_f16(&y, x, x.count)
        let wrong = x.indices.first { index in
          x[index].isNaN
            ? !Float16(bitPattern: y[index]).isNaN : y[index] != Float16(x[index]).bitPattern
        }
        #expect(wrong == nil, "\(target): \(wrong.map { "\(x[$0]) gives \(y[$0])" } ?? "")")
      }
    }

    @Test("it rounds to the nearest bfloat, ties to even")
    func toBFloat() {
      let x = Self.floats
      onEveryTarget { target in
        var y = [UInt16](repeating: 0xDEAD, count: x.count)
        apus_f32_to_bf16(&y, x, x.count)
        let wrong = x.indices.first { index in
          let back = Float(bitPattern: UInt32(y[index]) << 16)
          if x[index].isNaN { return !back.isNaN }
          return y[index] != nearestBFloat(x[index])
        }
        #expect(wrong == nil, "\(target): \(wrong.map { "\(x[$0]) gives \(y[$0])" } ?? "")")
      }
    }

    /// The nearer of the two neighbors, by distance; the one with an even last bit in a tie.
    func nearestBFloat(_ x: Float) -> UInt16 {
      let below = UInt16(x.bitPattern >> 16)
      let rest = x.bitPattern & 0xFFFF
      if rest == 0x8000 { return below + below % 2 }
      return rest < 0x8000 ? below : below + 1
    }

    @Test("it converts arrays of odd lengths and nothing behind them", arguments: Kernels.sizes)
    func lengths(count: Int) {
      let x = random(count, seed: 1)
      onEveryTarget { target in
        var y = [UInt16](repeating: 0xDEAD, count: count + 1)
        apus_f32_to_f16(&y, x, count)
        #expect(y[count] == 0xDEAD, "\(target)")
        let back = output(count) { apus_f16_to_f32($0, y, count) }
        expectClose(back, x.map { Float(Float16($0)) }, target)
        apus_f32_to_bf16(&y, x, count)
        #expect(y[count] == 0xDEAD, "\(target)")
        let wide = output(count) { apus_bf16_to_f32($0, y, count) }
        expectClose(wide, x, relative: 0.004, target)
      }
    }
  }
}
