// The matrix between landmarks' features: an inverse by iteration, and its gradient through every
// step. Matrices are small (landmarks x landmarks); products of floats go to oneDNN. The reference
// is the same algorithm in double with plain loops; tests hold both to finite differences of the
// definition written elsewhere.
#include <algorithm>
#include <cmath>
#include <vector>

#include "include/apus_kernels.h"

namespace apus {
namespace {

/// c (+)= op(a) · op(b) of n x n matrices. Returns 0, or a status.
int Multiply(float* c, const float* a, const float* b, ptrdiff_t n, bool turn_a, bool turn_b,
             bool add) {
  const apus_product_shape shape{n, n, n, n, n, n, turn_a, turn_b, add};
  return apus_product_f32(c, a, b, nullptr, &shape);
}
int Multiply(double* c, const double* a, const double* b, ptrdiff_t n, bool turn_a, bool turn_b,
             bool add) {
  for (ptrdiff_t i = 0; i < n; ++i) {
    for (ptrdiff_t j = 0; j < n; ++j) {
      double sum = add ? c[i * n + j] : 0;
      for (ptrdiff_t l = 0; l < n; ++l) {
        sum += (turn_a ? a[l * n + i] : a[i * n + l]) * (turn_b ? b[j * n + l] : b[l * n + j]);
      }
      c[i * n + j] = sum;
    }
  }
  return 0;
}

/// One matrix of the iteration, over what was saved of it: M, then A, then V of every step, r.
template <class T>
struct Landmarks {
  ptrdiff_t n, size, iterations;
  T gamma;
  T *kernel, *a, *v, *r;

  Landmarks(T* saved, ptrdiff_t n, ptrdiff_t size, T gamma, ptrdiff_t iterations)
      : n(n), size(size), iterations(iterations), gamma(gamma) {
    kernel = saved;
    a = kernel + n * n;
    v = a + n * n;
    r = v + (iterations + 1) * n * n;
  }

  static ptrdiff_t Saved(ptrdiff_t n, ptrdiff_t iterations) { return (iterations + 3) * n * n + n; }

  /// to = diagonal · I − product of a row-major matrix that stands in `to`.
  void Complement(T* to, T diagonal) const {
    for (ptrdiff_t i = 0; i < n * n; ++i) to[i] = -to[i];
    for (ptrdiff_t i = 0; i < n; ++i) to[i * n + i] += diagonal;
  }

  void Kernel(const float* x) {
    for (ptrdiff_t i = 0; i < n; ++i) {
      for (ptrdiff_t j = 0; j <= i; ++j) {
        T square = 0;
        for (ptrdiff_t c = 0; c < size; ++c) {
          const T difference = static_cast<T>(x[i * size + c]) - static_cast<T>(x[j * size + c]);
          square += difference * difference;
        }
        kernel[i * n + j] = kernel[j * n + i] = std::exp(-square / 2) + (i == j ? gamma : 0);
      }
    }
    for (ptrdiff_t i = 0; i < n; ++i) {
      T sum = 0;
      for (ptrdiff_t j = 0; j < n; ++j) sum += kernel[i * n + j];
      r[i] = 1 / std::sqrt(sum);
    }
    for (ptrdiff_t i = 0; i < n; ++i) {
      for (ptrdiff_t j = 0; j < n; ++j) a[i * n + j] = r[i] * kernel[i * n + j] * r[j];
    }
  }

  /// The largest column sum of A and its column; no element is negative.
  T LargestColumn(ptrdiff_t& column) const {
    std::vector<T> sums(static_cast<size_t>(n), T(0));
    for (ptrdiff_t i = 0; i < n; ++i) {
      for (ptrdiff_t j = 0; j < n; ++j) sums[j] += a[i * n + j];
    }
    const auto largest = std::max_element(sums.begin(), sums.end());
    column = largest - sums.begin();
    return *largest;
  }

  /// y = A V, w1 = 7 I − y, w2 = 15 I − y w1, w3 = 13 I − y w2, each n x n in `work`.
  int Factors(const T* step, T* work) const {
    T *y = work, *w1 = y + n * n, *w2 = w1 + n * n, *w3 = w2 + n * n;
    int status = Multiply(y, a, step, n, false, false, false);
    std::copy_n(y, n * n, w1);
    Complement(w1, 7);
    status |= Multiply(w2, y, w1, n, false, false, false);
    Complement(w2, 15);
    status |= Multiply(w3, y, w2, n, false, false, false);
    Complement(w3, 13);
    return status;
  }

  int Forward(float* g, const float* x) {
    std::vector<T> work(static_cast<size_t>(4 * n * n));
    Kernel(x);
    ptrdiff_t column = 0;
    const T scale = 1 / LargestColumn(column);
    for (ptrdiff_t i = 0; i < n; ++i) {
      for (ptrdiff_t j = 0; j < n; ++j) v[i * n + j] = scale * a[j * n + i];
    }
    int status = 0;
    for (ptrdiff_t step = 0; step < iterations; ++step) {
      T *from = v + step * n * n, *to = from + n * n;
      status |= Factors(from, work.data());
      status |= Multiply(to, from, work.data() + 3 * n * n, n, false, false, false);
      for (ptrdiff_t i = 0; i < n * n; ++i) to[i] /= 4;
    }
    const T* inverse = v + iterations * n * n;
    for (ptrdiff_t i = 0; i < n; ++i) {
      for (ptrdiff_t j = 0; j < n; ++j) {
        g[i * n + j] = static_cast<float>(r[i] * inverse[i * n + j] * r[j]);
      }
    }
    return status;
  }

  /// From dV of a step's result to dV of its start, both in `dv`; adds to dA.
  int StepBackward(T* dv, T* da, const T* step, T* work) const {
    T *y = work, *w1 = y + n * n, *w2 = w1 + n * n, *w3 = w2 + n * n;
    T *d3 = w3 + n * n, *d2 = d3 + n * n, *d1 = d2 + n * n, *dy = d1 + n * n, *before = dy + n * n;
    int status = Factors(step, work);
    for (ptrdiff_t i = 0; i < n * n; ++i) dv[i] /= 4;
    status |= Multiply(before, dv, w3, n, false, true, false);
    status |= Multiply(d3, step, dv, n, true, false, false);
    status |= Multiply(d2, y, d3, n, true, false, false);
    for (ptrdiff_t i = 0; i < n * n; ++i) d2[i] = -d2[i];
    status |= Multiply(d1, y, d2, n, true, false, false);
    for (ptrdiff_t i = 0; i < n * n; ++i) d1[i] = -d1[i];
    status |= Multiply(dy, d3, w2, n, false, true, false);
    status |= Multiply(dy, d2, w1, n, false, true, true);
    for (ptrdiff_t i = 0; i < n * n; ++i) dy[i] = -dy[i] - d1[i];
    status |= Multiply(da, dy, step, n, false, true, true);
    status |= Multiply(before, a, dy, n, true, false, true);
    std::copy_n(before, n * n, dv);
    return status;
  }

  /// Gradients of the start of the iteration, V_0 = Aᵀ / c.
  void StartBackward(const T* dv, T* da) const {
    ptrdiff_t column = 0;
    const T c = LargestColumn(column);
    T dc = 0;
    for (ptrdiff_t i = 0; i < n; ++i) {
      for (ptrdiff_t j = 0; j < n; ++j) {
        da[j * n + i] += dv[i * n + j] / c;
        dc -= dv[i * n + j] * a[j * n + i] / (c * c);
      }
    }
    for (ptrdiff_t i = 0; i < n; ++i) da[i * n + column] += dc;
  }

  int Backward(float* dx, const float* dg, const float* x) const {
    std::vector<T> memory(static_cast<size_t>(11 * n * n + n), T(0));
    T *dv = memory.data(), *da = dv + n * n, *work = da + n * n, *dr = work + 9 * n * n;
    const T* inverse = v + iterations * n * n;
    for (ptrdiff_t i = 0; i < n; ++i) {
      for (ptrdiff_t j = 0; j < n; ++j) {
        const T d = dg[i * n + j], value = inverse[i * n + j];
        dv[i * n + j] = r[i] * d * r[j];
        dr[i] += d * value * r[j];
        dr[j] += d * value * r[i];
      }
    }
    int status = 0;
    for (ptrdiff_t step = iterations - 1; step >= 0; --step) {
      status |= StepBackward(dv, da, v + step * n * n, work);
    }
    StartBackward(dv, da);
    for (ptrdiff_t i = 0; i < n; ++i) {
      for (ptrdiff_t j = 0; j < n; ++j) {
        dr[i] += da[i * n + j] * kernel[i * n + j] * r[j];
        dr[j] += da[i * n + j] * kernel[i * n + j] * r[i];
      }
    }
    std::vector<T> sums(static_cast<size_t>(size));
    for (ptrdiff_t i = 0; i < n; ++i) {
      std::fill(sums.begin(), sums.end(), T(0));
      for (ptrdiff_t j = 0; j < n; ++j) {
        if (i == j) continue;
        // M's gradient through A, and through the row sums that r is made of; of both (i, j) and
        // (j, i), for the kernel is symmetric.
        const T direct = r[i] * r[j] * (da[i * n + j] + da[j * n + i]);
        const T by_sums = -(dr[i] * r[i] * r[i] * r[i] + dr[j] * r[j] * r[j] * r[j]) / 2;
        const T pull = (direct + by_sums) * kernel[i * n + j];
        for (ptrdiff_t c = 0; c < size; ++c) {
          sums[c] += pull * (static_cast<T>(x[j * size + c]) - static_cast<T>(x[i * size + c]));
        }
      }
      for (ptrdiff_t c = 0; c < size; ++c) dx[i * size + c] = static_cast<float>(sums[c]);
    }
    return status;
  }
};

}  // namespace
}  // namespace apus

extern "C" {

ptrdiff_t apus_landmarks_saved(ptrdiff_t landmarks, ptrdiff_t iterations) {
  return apus::Landmarks<float>::Saved(landmarks, iterations);
}

int apus_landmarks_f32(float* g, float* saved, const float* x, ptrdiff_t count, ptrdiff_t landmarks,
                       ptrdiff_t size, float gamma, ptrdiff_t iterations) {
  const ptrdiff_t kept = apus_landmarks_saved(landmarks, iterations);
  std::vector<float> own(static_cast<size_t>(saved == nullptr ? kept : 0));
  int status = 0;
  for (ptrdiff_t i = 0; i < count; ++i) {
    float* memory = saved == nullptr ? own.data() : saved + i * kept;
    apus::Landmarks<float> one(memory, landmarks, size, gamma, iterations);
    status |= one.Forward(g + i * landmarks * landmarks, x + i * landmarks * size);
  }
  return status;
}

int apus_landmarks_backward_f32(float* dx, const float* dg, const float* saved, const float* x,
                                ptrdiff_t count, ptrdiff_t landmarks, ptrdiff_t size, float gamma,
                                ptrdiff_t iterations) {
  const ptrdiff_t kept = apus_landmarks_saved(landmarks, iterations);
  int status = 0;
  for (ptrdiff_t i = 0; i < count; ++i) {
    // Backward reads what was saved.
    float* memory = const_cast<float*>(saved) + i * kept;
    const apus::Landmarks<float> one(memory, landmarks, size, gamma, iterations);
    status |= one.Backward(dx + i * landmarks * size, dg + i * landmarks * landmarks,
                           x + i * landmarks * size);
  }
  return status;
}

void apus_landmarks_reference_f32(float* g, const float* x, ptrdiff_t count, ptrdiff_t landmarks,
                                  ptrdiff_t size, float gamma, ptrdiff_t iterations) {
  std::vector<double> saved(static_cast<size_t>(apus_landmarks_saved(landmarks, iterations)));
  for (ptrdiff_t i = 0; i < count; ++i) {
    apus::Landmarks<double> one(saved.data(), landmarks, size, gamma, iterations);
    one.Forward(g + i * landmarks * landmarks, x + i * landmarks * size);
  }
}

void apus_landmarks_backward_reference_f32(float* dx, const float* dg, const float* x,
                                           ptrdiff_t count, ptrdiff_t landmarks, ptrdiff_t size,
                                           float gamma, ptrdiff_t iterations) {
  std::vector<double> saved(static_cast<size_t>(apus_landmarks_saved(landmarks, iterations)));
  std::vector<float> g(static_cast<size_t>(landmarks * landmarks));
  for (ptrdiff_t i = 0; i < count; ++i) {
    apus::Landmarks<double> one(saved.data(), landmarks, size, gamma, iterations);
    one.Forward(g.data(), x + i * landmarks * size);
    one.Backward(dx + i * landmarks * size, dg + i * landmarks * landmarks,
                 x + i * landmarks * size);
  }
}

}  // extern "C"
