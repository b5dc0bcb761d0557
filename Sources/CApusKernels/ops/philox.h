// Constants and key of Philox4x32-10. The 128-bit counter is (counter, stream), low word first.
#pragma once

#include <cstdint>

namespace apus {

inline constexpr uint32_t kPhiloxMultiplier0 = 0xD2511F53, kPhiloxMultiplier1 = 0xCD9E8D57;
inline constexpr uint32_t kPhiloxWeyl0 = 0x9E3779B9, kPhiloxWeyl1 = 0xBB67AE85;

struct PhiloxKey {
  uint64_t seed, stream;
};

}  // namespace apus
