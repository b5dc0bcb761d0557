// Constants and key of Philox4x32-10. The 128-bit counter is (counter, stream), low word first.
#pragma once

#include <cstdint>

namespace apus {

inline constexpr uint32_t kPhiloxMultiplier0 = 0xD2511F53, kPhiloxMultiplier1 = 0xCD9E8D57;
inline constexpr uint32_t kPhiloxWeyl0 = 0x9E3779B9, kPhiloxWeyl1 = 0xBB67AE85;

inline constexpr int kPhiloxRounds = 10;

struct PhiloxKey {
  uint64_t seed, stream;
};

/// The key of every round, in 64 bits each as the vectors want them.
struct PhiloxKeys {
  explicit PhiloxKeys(PhiloxKey key) : stream(key.stream) {
    uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
    for (int round = 0; round < kPhiloxRounds; ++round) {
      first[round] = k0;
      second[round] = k1;
      k0 += kPhiloxWeyl0;
      k1 += kPhiloxWeyl1;
    }
  }
  uint64_t first[kPhiloxRounds], second[kPhiloxRounds], stream;
};

}  // namespace apus
