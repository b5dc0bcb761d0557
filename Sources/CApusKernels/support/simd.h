// The instruction sets that kernels are compiled for. Include before hwy/foreach_target.h.
//
// AVX-512 machines take AVX3, older ones AVX2 or SSE4; EMU128 is what remains without SSE4. Leaving
// out SSSE3 and AVX3_DL halves nothing in speed and a third in compile time.
#pragma once

#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
#endif
