// The truth about attention by features: double, pair by pair, one thread.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "include/apus_kernels.h"
#include "ops/feature_attention_plan.h"

namespace apus::features {
namespace {

using Doubles = std::vector<double>;

/// One head of one batch row.
struct Reference {
  const apus_feature_shape& shape;
  Place place;
  const float *q, *k, *v, *w, *mixing;
  ptrdiff_t m, d, dv;
  Doubles query_logits, key_logits;  ///< [T, m], or projections where nothing is exponentiated
  Doubles query_features, key_features;
  Doubles scale_of_row;  ///< [T], what exponents of a row are measured from

  Reference(const apus_feature_shape* shape, ptrdiff_t index, const float* q, const float* k,
            const float* v, const float* w, const float* mixing)
      : shape(*shape), place(shape, index), q(q), k(k), v(v), w(w), mixing(mixing) {
    m = shape->features, d = shape->head_size, dv = shape->value_size;
    query_logits = Logits(q, shape->q_stride);
    key_logits = Logits(k, shape->k_stride);
    query_features = Mixed(Features(query_logits));
    key_features = Features(key_logits);
    scale_of_row.assign(static_cast<size_t>(shape->time), 0);
    if (!Stabilizes(*shape)) return;
    for (ptrdiff_t t = 0; t < shape->time; ++t) {
      double top = -std::numeric_limits<double>::infinity();
      for (ptrdiff_t s = 0; s <= t; ++s) {
        for (ptrdiff_t i = 0; i < m; ++i) {
          top = std::max(top, query_logits[t * m + i] + key_logits[s * m + i]);
        }
      }
      scale_of_row[t] = top;
    }
  }

  double X(const float* x, ptrdiff_t stride, ptrdiff_t t, ptrdiff_t c) const {
    return x[place.Token(t, stride, d) + c];
  }
  double W(ptrdiff_t i, ptrdiff_t c) const { return w[(place.Group() * m + i) * d + c]; }
  double Mixing(ptrdiff_t i, ptrdiff_t j) const { return mixing[(place.Group() * m + i) * m + j]; }
  double V(ptrdiff_t s, ptrdiff_t c) const { return v[place.Token(s, shape.v_stride, dv) + c]; }

  Doubles Logits(const float* x, ptrdiff_t stride) const {
    Doubles logits(static_cast<size_t>(shape.time * m));
    const double scale = Exponentiates(shape) ? shape.scale : 1.0;
    for (ptrdiff_t t = 0; t < shape.time; ++t) {
      for (ptrdiff_t i = 0; i < m; ++i) {
        double sum = 0;
        for (ptrdiff_t c = 0; c < d; ++c) {
          const double value = scale * X(x, stride, t, c);
          if (shape.kind == APUS_FEATURES_ELU) {
            sum += c == i ? value : 0;
            continue;
          }
          sum += W(i, c) * value;
          if (Exponentiates(shape)) sum -= value * value / 2;
          if (shape.kind == APUS_FEATURES_GAUSSIAN) sum -= W(i, c) * W(i, c) / 2;
        }
        logits[t * m + i] = sum;
      }
    }
    return logits;
  }

  Doubles Features(const Doubles& logits) const {
    Doubles features(logits);
    for (double& x : features) {
      if (shape.kind == APUS_FEATURES_RELU) {
        x = std::max(x, 0.0) + kRectifiedFloor;
      } else if (shape.kind == APUS_FEATURES_ELU) {
        x = x > 0 ? x + 1 : std::exp(x);
      } else {
        x = std::exp(x);
      }
    }
    return features;
  }

  Doubles Mixed(const Doubles& plain) const {
    if (shape.kind != APUS_FEATURES_GAUSSIAN) return plain;
    Doubles mixed(plain.size(), 0.0);
    for (ptrdiff_t t = 0; t < shape.time; ++t) {
      for (ptrdiff_t i = 0; i < m; ++i) {
        for (ptrdiff_t j = 0; j < m; ++j) mixed[t * m + j] += plain[t * m + i] * Mixing(i, j);
      }
    }
    return mixed;
  }

  /// What feature i gives to the weight of key s for query t.
  double Share(ptrdiff_t t, ptrdiff_t s, ptrdiff_t i) const {
    if (Stabilizes(shape)) {
      return std::exp(query_logits[t * m + i] + key_logits[s * m + i] - scale_of_row[t]);
    }
    return query_features[t * m + i] * key_features[s * m + i];
  }

  /// The weights of query t; returns their sum, or 1 where nothing is divided.
  double Weights(ptrdiff_t t, Doubles& weights) const {
    double sum = 0;
    for (ptrdiff_t s = 0; s <= t; ++s) {
      weights[s] = 0;
      for (ptrdiff_t i = 0; i < m; ++i) weights[s] += Share(t, s, i);
      sum += weights[s];
    }
    return Normalizes(shape) ? sum + shape.epsilon : 1;
  }

  Doubles Output(ptrdiff_t t, const Doubles& weights, double sum) const {
    Doubles o(static_cast<size_t>(dv), 0.0);
    for (ptrdiff_t s = 0; s <= t; ++s) {
      for (ptrdiff_t c = 0; c < dv; ++c) o[c] += weights[s] / sum * V(s, c);
    }
    return o;
  }

  /// Gradients of features, or of logits where those are exponentials with a reference; of values.
  void Backward(const float* dout, Doubles& dquery, Doubles& dkey, Doubles& dvalue) const {
    Doubles weights(static_cast<size_t>(shape.time));
    for (ptrdiff_t t = 0; t < shape.time; ++t) {
      const double sum = Weights(t, weights);
      const Doubles o = Output(t, weights, sum);
      const float* row = dout + place.Token(t, shape.o_stride, dv);
      for (ptrdiff_t s = 0; s <= t; ++s) {
        double dweight = 0;
        for (ptrdiff_t c = 0; c < dv; ++c) {
          dweight += row[c] * (V(s, c) - (Normalizes(shape) ? o[c] : 0)) / sum;
          dvalue[s * dv + c] += weights[s] / sum * row[c];
        }
        for (ptrdiff_t i = 0; i < m; ++i) {
          const bool logs = Stabilizes(shape);
          const double share = Share(t, s, i);
          dquery[t * m + i] += dweight * (logs ? share : key_features[s * m + i]);
          dkey[s * m + i] += dweight * (logs ? share : query_features[t * m + i]);
        }
      }
    }
  }

  /// From gradients of features to gradients of logits.
  void ThroughFeatures(Doubles& gradient, const Doubles& logits) const {
    if (Stabilizes(shape)) return;
    for (size_t i = 0; i < gradient.size(); ++i) {
      const double x = logits[i];
      if (shape.kind == APUS_FEATURES_RELU) {
        gradient[i] *= x > 0 ? 1 : 0;
      } else {
        gradient[i] *= shape.kind == APUS_FEATURES_ELU && x > 0 ? 1 : std::exp(x);
      }
    }
  }

  /// From gradients of logits to those of x and w.
  void ThroughLogits(float* dx, Doubles* dw, const float* x, ptrdiff_t stride,
                     const Doubles& gradient) const {
    const bool exponential = Exponentiates(shape);
    const double scale = exponential ? shape.scale : 1.0;
    for (ptrdiff_t t = 0; t < shape.time; ++t) {
      for (ptrdiff_t c = 0; c < d; ++c) {
        double sum = 0;
        for (ptrdiff_t i = 0; i < m; ++i) {
          const double g = gradient[t * m + i], value = scale * X(x, stride, t, c);
          if (shape.kind == APUS_FEATURES_ELU) {
            sum += c == i ? g : 0;
            continue;
          }
          sum += g * (W(i, c) - (exponential ? value : 0)) * scale;
          if (dw != nullptr) (*dw)[i * d + c] += g * (value - W(i, c));
        }
        dx[place.Token(t, stride, d) + c] = static_cast<float>(sum);
      }
    }
  }
};

}  // namespace
}  // namespace apus::features

extern "C" {

void apus_feature_attention_reference_f32(float* o, const float* q, const float* k, const float* v,
                                          const float* w, const float* mixing,
                                          const apus_feature_shape* shape) {
  using namespace apus::features;
  for (ptrdiff_t index = 0; index < shape->batch * shape->heads; ++index) {
    const Reference head(shape, index, q, k, v, w, mixing);
    Doubles weights(static_cast<size_t>(shape->time));
    for (ptrdiff_t t = 0; t < shape->time; ++t) {
      const double sum = head.Weights(t, weights);
      const Doubles row = head.Output(t, weights, sum);
      float* to = o + head.place.Token(t, shape->o_stride, shape->value_size);
      for (size_t c = 0; c < row.size(); ++c) to[c] = static_cast<float>(row[c]);
    }
  }
}

void apus_feature_attention_backward_reference_f32(float* dq, float* dk, float* dv, float* dw,
                                                   float* dmixing, const float* dout,
                                                   const float* q, const float* k, const float* v,
                                                   const float* w, const float* mixing,
                                                   const apus_feature_shape* shape) {
  using namespace apus::features;
  const ptrdiff_t m = shape->features, d = shape->head_size, size = shape->value_size;
  Doubles dws(static_cast<size_t>(shape->groups * m * d), 0.0);
  Doubles dmixings(static_cast<size_t>(shape->groups * m * m), 0.0);
  for (ptrdiff_t index = 0; index < shape->batch * shape->heads; ++index) {
    const Reference head(shape, index, q, k, v, w, mixing);
    Doubles dquery(static_cast<size_t>(shape->time * m), 0.0), dkey(dquery);
    Doubles dvalue(static_cast<size_t>(shape->time * size), 0.0);
    head.Backward(dout, dquery, dkey, dvalue);
    const ptrdiff_t group = head.place.Group();
    Doubles own(static_cast<size_t>(m * d), 0.0);
    if (shape->kind == APUS_FEATURES_GAUSSIAN) {
      const Doubles plain = head.Features(head.query_logits);
      Doubles unmixed(dquery.size(), 0.0);
      for (ptrdiff_t t = 0; t < shape->time; ++t) {
        for (ptrdiff_t i = 0; i < m; ++i) {
          for (ptrdiff_t j = 0; j < m; ++j) {
            dmixings[(group * m + i) * m + j] += plain[t * m + i] * dquery[t * m + j];
            unmixed[t * m + i] += dquery[t * m + j] * head.Mixing(i, j);
          }
        }
      }
      dquery = unmixed;
    }
    head.ThroughFeatures(dquery, head.query_logits);
    head.ThroughFeatures(dkey, head.key_logits);
    Doubles* weights = shape->kind == APUS_FEATURES_GAUSSIAN ? &own : nullptr;
    head.ThroughLogits(dq, weights, q, shape->q_stride, dquery);
    head.ThroughLogits(dk, weights, k, shape->k_stride, dkey);
    for (ptrdiff_t i = 0; i < m * d; ++i) dws[group * m * d + i] += own[i];
    for (ptrdiff_t t = 0; t < shape->time; ++t) {
      for (ptrdiff_t c = 0; c < size; ++c) {
        dv[head.place.Token(t, shape->v_stride, size) + c] =
            static_cast<float>(dvalue[t * size + c]);
      }
    }
  }
  for (size_t i = 0; dw != nullptr && i < dws.size(); ++i) dw[i] = static_cast<float>(dws[i]);
  for (size_t i = 0; dmixing != nullptr && i < dmixings.size(); ++i) {
    dmixing[i] = static_cast<float>(dmixings[i]);
  }
}

}  // extern "C"
