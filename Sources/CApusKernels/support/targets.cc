#include <hwy/highway.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "include/apus_kernels.h"
#include "support/simd.h"

namespace apus {
namespace {

struct Target {
  const char* name;
  int64_t bit;
};

// Best first: in Highway a better target of one family has a lower bit.
constexpr Target kTargets[] = {
#if HWY_ARCH_X86
    {"AVX3", HWY_AVX3},
    {"AVX2", HWY_AVX2},
    {"SSE4", HWY_SSE4},
#elif HWY_ARCH_ARM
    {"NEON", HWY_NEON},
#endif
    {"EMU128", HWY_EMU128},
};

/// Leaves the named target and everything below it. False when the CPU lacks it.
bool Cap(const char* name) {
  hwy::DisableTargets(0);
  const int64_t supported = hwy::SupportedTargets();
  int64_t above = 0;
  bool found = name == nullptr;
  if (name != nullptr) {
    for (const Target& target : kTargets) {
      if (std::strcmp(target.name, name) == 0) {
        found = (supported & target.bit) != 0 || target.bit == HWY_EMU128;
        break;
      }
      above |= target.bit;
    }
  }
  if (!found) return false;
  hwy::DisableTargets(above);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  return true;
}

/// Reads APUS_MAX_TARGET once, before the first kernel can run.
struct Environment {
  Environment() {
    const char* name = std::getenv("APUS_MAX_TARGET");
    if (name != nullptr && *name != 0) Cap(name);
  }
} environment;

}  // namespace
}  // namespace apus

extern "C" {

int apus_cap_target(const char* name) { return apus::Cap(name) ? 1 : 0; }

const char* apus_isa_name(void) {
  const int64_t supported = hwy::SupportedTargets();
  for (const auto& target : apus::kTargets) {
    if (supported & target.bit) return target.name;
  }
  return "EMU128";
}

const char* apus_available_targets(void) {
  static const std::string* names = [] {
    auto* list = new std::string;
    for (const auto& target : apus::kTargets) {
      if ((hwy::SupportedTargets() & target.bit) == 0 && target.bit != HWY_EMU128) continue;
      if (!list->empty()) *list += ' ';
      *list += target.name;
    }
    return list;
  }();
  return names->c_str();
}

}  // extern "C"
