// sLSTM and mLSTM as their equations stand, in double and token by token. This is the truth.
#include <algorithm>
#include <cmath>
#include <vector>

#include "include/apus_kernels.h"

namespace {

using Doubles = std::vector<double>;

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
/// ln σ(x).
double LogSigmoid(double x) {
  return x < 0 ? x - std::log1p(std::exp(x)) : -std::log1p(std::exp(-x));
}

/// One head of one sequence of sLSTM: where its numbers stand at token t.
struct ScalarHead {
  const apus_slstm_shape& shape;
  ptrdiff_t batch, head;
  ptrdiff_t At(ptrdiff_t t) const {
    return ((batch * shape.time + t) * shape.heads + head) * shape.head_size;
  }
};

void ScalarForward(const ScalarHead& own, float* hidden, float* cells, float* norms, float* slopes,
                   float* gates, float* state, const float* recurrent) {
  const ptrdiff_t size = own.shape.head_size, width = own.shape.heads * size;
  Doubles h(size), c(size), n(size), m(size, apus_slstm_nothing()), sums(4 * size);
  Doubles* parts[4] = {&h, &c, &n, &m};
  float* outer = state == nullptr ? nullptr : state + own.batch * 4 * width + own.head * size;
  for (ptrdiff_t part = 0; part < 4 && outer != nullptr; ++part) {
    std::copy_n(outer + part * width, size, parts[part]->begin());
  }
  for (ptrdiff_t t = 0; t < own.shape.time; ++t) {
    const ptrdiff_t at = own.At(t);
    float* row = gates + 4 * at;
    for (ptrdiff_t j = 0; j < 4 * size; ++j) {
      sums[j] = row[j];
      for (ptrdiff_t k = 0; k < size; ++k) sums[j] += h[k] * recurrent[k * 4 * size + j];
    }
    for (ptrdiff_t e = 0; e < size; ++e) {
      const double open = std::min(sums[size + e], 15.0), kept = LogSigmoid(open) + m[e];
      m[e] = std::max(sums[e], kept);
      const double i = std::exp(sums[e] - m[e]), f = std::exp(kept - m[e]);
      const double z = std::tanh(sums[2 * size + e]), o = Sigmoid(sums[3 * size + e]);
      c[e] = f * c[e] + i * z;
      n[e] = f * n[e] + i;
      h[e] = o * c[e] / n[e];
      row[e] = static_cast<float>(i);
      row[size + e] = static_cast<float>(f);
      row[2 * size + e] = static_cast<float>(z);
      row[3 * size + e] = static_cast<float>(o);
      hidden[at + e] = static_cast<float>(h[e]);
      cells[at + e] = static_cast<float>(c[e]);
      norms[at + e] = static_cast<float>(n[e]);
      slopes[at + e] = static_cast<float>(Sigmoid(-open));
    }
  }
  for (ptrdiff_t part = 0; part < 4 && outer != nullptr; ++part) {
    for (ptrdiff_t e = 0; e < size; ++e) {
      outer[part * width + e] = static_cast<float>((*parts[part])[e]);
    }
  }
}

void ScalarBackward(const ScalarHead& own, float* dgates, double* dmatrix, const float* dhidden,
                    const float* hidden, const float* cells, const float* norms,
                    const float* slopes, const float* gates, const float* recurrent) {
  const ptrdiff_t size = own.shape.head_size;
  Doubles dh(size), dc(size), dn(size), da(4 * size);
  for (ptrdiff_t t = own.shape.time - 1; t >= 0; --t) {
    const ptrdiff_t at = own.At(t), before = t > 0 ? own.At(t - 1) : 0;
    const float* row = gates + 4 * at;
    for (ptrdiff_t e = 0; e < size; ++e) {
      const double i = row[e], f = row[size + e], z = row[2 * size + e], o = row[3 * size + e];
      const double above = dhidden[at + e] + dh[e], n = norms[at + e], ratio = cells[at + e] / n;
      const double dcell = dc[e] + above * o / n, dnorm = dn[e] - above * o * ratio / n;
      const double past_c = t > 0 ? cells[before + e] : 0, past_n = t > 0 ? norms[before + e] : 0;
      da[e] = i * (dcell * z + dnorm);
      da[size + e] = f * (dcell * past_c + dnorm * past_n) * slopes[at + e];
      da[2 * size + e] = dcell * i * (1 - z * z);
      da[3 * size + e] = above * ratio * o * (1 - o);
      dc[e] = dcell * f;
      dn[e] = dnorm * f;
    }
    for (ptrdiff_t k = 0; k < size; ++k) {
      dh[k] = 0;
      for (ptrdiff_t j = 0; j < 4 * size; ++j) {
        dh[k] += da[j] * recurrent[k * 4 * size + j];
        if (t > 0) dmatrix[k * 4 * size + j] += hidden[before + k] * da[j];
      }
    }
    for (ptrdiff_t j = 0; j < 4 * size; ++j) dgates[4 * at + j] = static_cast<float>(da[j]);
  }
}

/// One head of one sequence of mLSTM, with every state from before the first token to after the
/// last.
class MatrixHead {
 public:
  MatrixHead(const apus_mlstm_shape& shape, ptrdiff_t batch, ptrdiff_t head)
      : shape_(shape), batch_(batch), head_(head), k_(shape.key_size), v_(shape.value_size) {}

  ptrdiff_t size() const { return k_ * v_ + k_ + 1; }
  ptrdiff_t Key(ptrdiff_t t) const {
    return (batch_ * shape_.time + t) * shape_.x_stride + head_ * k_;
  }
  ptrdiff_t Value(ptrdiff_t t) const {
    return (batch_ * shape_.time + t) * shape_.x_stride + head_ * v_;
  }
  ptrdiff_t Out(ptrdiff_t t) const {
    return ((batch_ * shape_.time + t) * shape_.heads + head_) * v_;
  }
  ptrdiff_t InputGate(ptrdiff_t t) const {
    return (batch_ * shape_.time + t) * 2 * shape_.heads + head_;
  }
  ptrdiff_t ForgetGate(ptrdiff_t t) const { return InputGate(t) + shape_.heads; }

  void Forward(float* h, float* state, const float* q, const float* k, const float* v,
               const float* gates) {
    states_.assign(1, Doubles(size()));
    float* outer = state == nullptr ? nullptr : state + (batch_ * shape_.heads + head_) * size();
    if (outer != nullptr) states_[0].assign(outer, outer + size());
    const double scale = 1 / std::sqrt(static_cast<double>(k_));
    for (ptrdiff_t t = 0; t < shape_.time; ++t) {
      Doubles next = states_.back();
      const double i = gates[InputGate(t)];
      const double kept = LogSigmoid(gates[ForgetGate(t)]) + next.back();
      next.back() = std::max(i, kept);
      const double write = std::exp(i - next.back()), keep = std::exp(kept - next.back());
      Doubles sum(v_);
      double norm = 0;
      for (ptrdiff_t a = 0; a < k_; ++a) {
        const double query = scale * q[Key(t) + a], key = write * k[Key(t) + a];
        for (ptrdiff_t b = 0; b < v_; ++b) {
          double& cell = next[a * v_ + b];
          cell = keep * cell + key * v[Value(t) + b];
          sum[b] += query * cell;
        }
        double& n = next[k_ * v_ + a];
        n = keep * n + key;
        norm += query * n;
      }
      const double floor = std::exp(-next.back());
      const double denominator = std::max(std::abs(norm), floor) + shape_.epsilon;
      inverse_.push_back(1 / denominator);
      sign_.push_back(std::abs(norm) < floor ? 0 : norm < 0 ? -1 : 1);
      keep_.push_back(keep);
      write_.push_back(write);
      out_.push_back(sum);
      for (ptrdiff_t b = 0; b < v_; ++b) {
        out_.back()[b] /= denominator;
        if (h != nullptr) h[Out(t) + b] = static_cast<float>(out_.back()[b]);
      }
      states_.push_back(next);
    }
    for (ptrdiff_t e = 0; e < size() && outer != nullptr; ++e) {
      outer[e] = static_cast<float>(states_.back()[e]);
    }
  }

  void Backward(float* dq, float* dk, float* dv, float* dgates, const float* dh, const float* q,
                const float* k, const float* v, const float* gates) const {
    const double scale = 1 / std::sqrt(static_cast<double>(k_));
    Doubles carry(size() - 1);  // of C and n
    for (ptrdiff_t t = shape_.time - 1; t >= 0; --t) {
      const Doubles &now = states_[t + 1], &before = states_[t];
      Doubles dsum(v_), dvalue(v_);
      double dnorm = 0, dkeep = 0, dwrite = 0;
      for (ptrdiff_t b = 0; b < v_; ++b) {
        dsum[b] = dh[Out(t) + b] * inverse_[t];
        dnorm -= dh[Out(t) + b] * out_[t][b] * inverse_[t] * sign_[t];
      }
      for (ptrdiff_t a = 0; a < k_; ++a) {
        const double query = scale * q[Key(t) + a], key = k[Key(t) + a];
        double dquery = dnorm * now[k_ * v_ + a], dkey = 0;
        for (ptrdiff_t b = 0; b < v_; ++b) {
          double& g = carry[a * v_ + b];
          g += query * dsum[b];
          dquery += dsum[b] * now[a * v_ + b];
          dkey += g * v[Value(t) + b];
          dvalue[b] += write_[t] * g * key;
          dkeep += g * before[a * v_ + b];
          g *= keep_[t];
        }
        double& g = carry[k_ * v_ + a];
        g += query * dnorm;
        dkey += g;
        dkeep += g * before[k_ * v_ + a];
        g *= keep_[t];
        dwrite += dkey * key;
        dq[Key(t) + a] = static_cast<float>(scale * dquery);
        dk[Key(t) + a] = static_cast<float>(write_[t] * dkey);
      }
      for (ptrdiff_t b = 0; b < v_; ++b) dv[Value(t) + b] = static_cast<float>(dvalue[b]);
      const double slope = Sigmoid(-static_cast<double>(gates[ForgetGate(t)]));
      dgates[InputGate(t)] = static_cast<float>(dwrite * write_[t]);
      dgates[ForgetGate(t)] = static_cast<float>(dkeep * keep_[t] * slope);
    }
  }

 private:
  const apus_mlstm_shape& shape_;
  const ptrdiff_t batch_, head_, k_, v_;
  std::vector<Doubles> states_, out_;
  Doubles inverse_, sign_, keep_, write_;
};

}  // namespace

extern "C" {

void apus_slstm_reference_f32(float* hidden, float* cells, float* norms, float* slopes,
                              float* gates, float* state, const float* recurrent,
                              const apus_slstm_shape* shape) {
  for (ptrdiff_t b = 0; b < shape->batch; ++b) {
    for (ptrdiff_t head = 0; head < shape->heads; ++head) {
      ScalarForward({*shape, b, head}, hidden, cells, norms, slopes, gates, state,
                    recurrent + head * 4 * shape->head_size * shape->head_size);
    }
  }
}

void apus_slstm_backward_reference_f32(float* dgates, float* drecurrent, const float* dhidden,
                                       const float* hidden, const float* cells, const float* norms,
                                       const float* slopes, const float* gates,
                                       const float* recurrent, const apus_slstm_shape* shape) {
  const ptrdiff_t matrix = 4 * shape->head_size * shape->head_size;
  for (ptrdiff_t head = 0; head < shape->heads; ++head) {
    Doubles sums(matrix);
    for (ptrdiff_t b = 0; b < shape->batch; ++b) {
      ScalarBackward({*shape, b, head}, dgates, sums.data(), dhidden, hidden, cells, norms, slopes,
                     gates, recurrent + head * matrix);
    }
    for (ptrdiff_t e = 0; e < matrix; ++e) {
      drecurrent[head * matrix + e] = static_cast<float>(sums[e]);
    }
  }
}

void apus_mlstm_reference_f32(float* h, float* state, const float* q, const float* k,
                              const float* v, const float* gates, const apus_mlstm_shape* shape) {
  for (ptrdiff_t b = 0; b < shape->batch; ++b) {
    for (ptrdiff_t head = 0; head < shape->heads; ++head) {
      MatrixHead(*shape, b, head).Forward(h, state, q, k, v, gates);
    }
  }
}

void apus_mlstm_backward_reference_f32(float* dq, float* dk, float* dv, float* dgates,
                                       const float* dh, const float* q, const float* k,
                                       const float* v, const float* gates,
                                       const apus_mlstm_shape* shape) {
  for (ptrdiff_t b = 0; b < shape->batch; ++b) {
    for (ptrdiff_t head = 0; head < shape->heads; ++head) {
      MatrixHead own(*shape, b, head);
      own.Forward(nullptr, nullptr, q, k, v, gates);
      own.Backward(dq, dk, dv, dgates, dh, q, k, v, gates);
    }
  }
}

}  // extern "C"
