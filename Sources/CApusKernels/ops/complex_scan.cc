// A diagonal recurrence of complex numbers, forward and backward: the state space of S5. Smith et
// al., 2022, arXiv:2208.04933, equation 7.
//
// The states of a sequence know nothing of each other: a task takes a panel of them through all
// tokens, a vector at a time, so that time is walked once and threads never wait.
// Letters: B batch, T time, N states, L lanes.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/complex_scan.cc"
#include "support/simd.h"
// simd.h before foreach_target.h: it narrows the list of targets.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <vector>

#include "include/apus_kernels.h"
#include "ops/gates-inl.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {
namespace {

using Vector = hn::Vec<RowTag>;

/// States of a task: a few vectors of any width.
constexpr ptrdiff_t kScanStates = 64;

/// A vector of complex numbers.
struct Complex {
  Vector re, im;
};

HWY_INLINE Complex LoadComplex(const float* data, ptrdiff_t imaginary, ptrdiff_t left) {
  return {LoadLanes(data, left), LoadLanes(data + imaginary, left)};
}

HWY_INLINE void StoreComplex(Complex x, float* data, ptrdiff_t imaginary, ptrdiff_t left) {
  StoreLanes(x.re, data, left);
  StoreLanes(x.im, data + imaginary, left);
}

/// a b + c.
HWY_INLINE Complex MulAdd(Complex a, Complex b, Complex c) {
  return {hn::NegMulAdd(a.im, b.im, hn::MulAdd(a.re, b.re, c.re)),
          hn::MulAdd(a.im, b.re, hn::MulAdd(a.re, b.im, c.im))};
}

/// conj(a) b + c.
HWY_INLINE Complex ConjMulAdd(Complex a, Complex b, Complex c) {
  return {hn::MulAdd(a.im, b.im, hn::MulAdd(a.re, b.re, c.re)),
          hn::NegMulAdd(a.im, b.re, hn::MulAdd(a.re, b.im, c.im))};
}

/// The panels of states of all sequences, and how to walk them.
template <class Body>
void ForPanels(ptrdiff_t batch, ptrdiff_t states, const Body& body) {
  const ptrdiff_t panels = (states + kScanStates - 1) / kScanStates;
  ParallelBlocks(batch * panels, [&](ptrdiff_t task) HWY_ATTR {
    const ptrdiff_t first = task % panels * kScanStates;
    const ptrdiff_t last = std::min(first + kScanStates, states);
    for (ptrdiff_t n = first; n < last; n += RowLanes()) body(task / panels, n, last - n);
  });
}

}  // namespace

void ComplexScan(float* y, float* state, const float* x, const float* decay, const float* gain,
                 const apus_complex_scan_shape& shape) {
  const ptrdiff_t states = shape.states, row = 2 * states;
  ForPanels(shape.batch, states, [&](ptrdiff_t b, ptrdiff_t n, ptrdiff_t left) HWY_ATTR {
    const RowTag d;
    const Complex lambda = LoadComplex(decay + n, states, left);
    const Complex kappa = LoadComplex(gain + n, states, left);
    Complex h = {hn::Zero(d), hn::Zero(d)};
    if (state != nullptr) h = LoadComplex(state + b * row + n, states, left);
    for (ptrdiff_t t = 0; t < shape.time; ++t) {
      const ptrdiff_t at = (b * shape.time + t) * row + n;
      const Complex driven =
          MulAdd(kappa, LoadComplex(x + at, states, left), {hn::Zero(d), hn::Zero(d)});
      h = MulAdd(lambda, h, driven);
      StoreComplex({h.re, hn::Neg(h.im)}, y + at, states, left);
    }
    if (state != nullptr) StoreComplex(h, state + b * row + n, states, left);
  });
}

void ComplexScanBackward(float* dx, double* sums, const float* dy, const float* y, const float* x,
                         const float* decay, const float* gain,
                         const apus_complex_scan_shape& shape) {
  const ptrdiff_t states = shape.states, row = 2 * states;
  ForPanels(shape.batch, states, [&](ptrdiff_t b, ptrdiff_t n, ptrdiff_t left) HWY_ATTR {
    const RowTag d;
    const Complex zero = {hn::Zero(d), hn::Zero(d)};
    const Complex lambda = LoadComplex(decay + n, states, left);
    const Complex kappa = LoadComplex(gain + n, states, left);
    Complex carry = zero, ddecay = zero, dgain = zero;
    HWY_ALIGN float part[4][HWY_MAX_BYTES / sizeof(float)];
    double* to = sums + b * 2 * row + n;
    const ptrdiff_t width = std::min(left, RowLanes());
    const auto flush = [&]() HWY_ATTR {
      hn::Store(ddecay.re, d, part[0]);
      hn::Store(ddecay.im, d, part[1]);
      hn::Store(dgain.re, d, part[2]);
      hn::Store(dgain.im, d, part[3]);
      for (ptrdiff_t kind = 0; kind < 4; ++kind) {
        for (ptrdiff_t e = 0; e < width; ++e) to[kind * states + e] += part[kind][e];
      }
      ddecay = dgain = zero;
    };
    for (ptrdiff_t t = shape.time - 1; t >= 0; --t) {
      const ptrdiff_t at = (b * shape.time + t) * row + n;
      // ∂/∂Re h + i ∂/∂Im h; y holds the conjugate.
      const Complex above = LoadComplex(dy + at, states, left);
      carry = ConjMulAdd(lambda, carry, {above.re, hn::Neg(above.im)});
      StoreComplex(ConjMulAdd(kappa, carry, zero), dx + at, states, left);
      dgain = ConjMulAdd(LoadComplex(x + at, states, left), carry, dgain);
      if (t > 0) {
        const Complex before = LoadComplex(y + at - row, states, left);
        ddecay = MulAdd(before, carry, ddecay);
      }
      if (t % 64 == 0) flush();  // float sums of a few terms, double sums of those
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
HWY_EXPORT(ComplexScan);
HWY_EXPORT(ComplexScanBackward);

extern "C" {

void apus_complex_scan_f32(float* y, float* state, const float* x, const float* decay,
                           const float* gain, const apus_complex_scan_shape* shape) {
  HWY_DYNAMIC_DISPATCH(ComplexScan)(y, state, x, decay, gain, *shape);
}

void apus_complex_scan_backward_f32(float* dx, float* ddecay, float* dgain, const float* dy,
                                    const float* y, const float* x, const float* decay,
                                    const float* gain, const apus_complex_scan_shape* shape) {
  const ptrdiff_t row = 2 * shape->states;
  std::vector<double> sums(static_cast<size_t>(shape->batch * 2 * row));
  HWY_DYNAMIC_DISPATCH(ComplexScanBackward)
  (dx, sums.data(), dy, y, x, decay, gain, *shape);
  for (ptrdiff_t e = 0; e < row; ++e) {
    double decays = 0, gains = 0;
    for (ptrdiff_t b = 0; b < shape->batch; ++b) {
      decays += sums[static_cast<size_t>(b * 2 * row + e)];
      gains += sums[static_cast<size_t>(b * 2 * row + row + e)];
    }
    ddecay[e] = static_cast<float>(decays);
    dgain[e] = static_cast<float>(gains);
  }
}

void apus_complex_scan_reference_f32(float* y, float* state, const float* x, const float* decay,
                                     const float* gain, const apus_complex_scan_shape* shape) {
  const ptrdiff_t states = shape->states, row = 2 * states;
  for (ptrdiff_t b = 0; b < shape->batch; ++b) {
    for (ptrdiff_t n = 0; n < states; ++n) {
      double re = 0, im = 0;
      if (state != nullptr) {
        re = state[b * row + n];
        im = state[b * row + states + n];
      }
      for (ptrdiff_t t = 0; t < shape->time; ++t) {
        const ptrdiff_t at = (b * shape->time + t) * row + n;
        const double a = decay[n], c = decay[states + n], g = gain[n], i = gain[states + n];
        const double next = a * re - c * im + g * x[at] - i * x[at + states];
        im = a * im + c * re + g * x[at + states] + i * x[at];
        re = next;
        y[at] = static_cast<float>(re);
        y[at + states] = static_cast<float>(-im);
      }
      if (state != nullptr) {
        state[b * row + n] = static_cast<float>(re);
        state[b * row + states + n] = static_cast<float>(im);
      }
    }
  }
}

void apus_complex_scan_backward_reference_f32(float* dx, float* ddecay, float* dgain,
                                              const float* dy, const float* y, const float* x,
                                              const float* decay, const float* gain,
                                              const apus_complex_scan_shape* shape) {
  const ptrdiff_t states = shape->states, row = 2 * states;
  for (ptrdiff_t n = 0; n < states; ++n) {
    const double a = decay[n], c = decay[states + n], g = gain[n], i = gain[states + n];
    double sums[4] = {};
    for (ptrdiff_t b = 0; b < shape->batch; ++b) {
      double re = 0, im = 0;  // of the gradient of h
      for (ptrdiff_t t = shape->time - 1; t >= 0; --t) {
        const ptrdiff_t at = (b * shape->time + t) * row + n;
        const double next = dy[at] + a * re + c * im;
        im = -dy[at + states] + a * im - c * re;
        re = next;
        dx[at] = static_cast<float>(g * re + i * im);
        dx[at + states] = static_cast<float>(g * im - i * re);
        sums[2] += re * x[at] + im * x[at + states];
        sums[3] += im * x[at] - re * x[at + states];
        if (t == 0) continue;
        const double past = y[at - row], turned = -y[at - row + states];
        sums[0] += re * past + im * turned;
        sums[1] += im * past - re * turned;
      }
    }
    ddecay[n] = static_cast<float>(sums[0]);
    ddecay[states + n] = static_cast<float>(sums[1]);
    dgain[n] = static_cast<float>(sums[2]);
    dgain[states + n] = static_cast<float>(sums[3]);
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
