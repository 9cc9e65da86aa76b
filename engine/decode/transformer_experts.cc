// The transformer's feed-forward part where it is a mixture of experts: each row of the batch takes
// as many places as experts are chosen for it, the places of one expert stand together, and an
// expert's rows are read once for all of them. Experts that nobody chose are not read.
#include <algorithm>

#include "engine/decode/grain.h"
#include "engine/decode/steps.h"
#include "engine/decode/transformer.h"

namespace quantfleet::engine {
namespace {

using pipeline::Role;

// The rows of one expert.
Matrix Slice(const Matrix& all, int64_t expert, int64_t rows) {
  Matrix one = all;
  one.data = all.row(expert * rows);
  one.rows = rows;
  return one;
}

// The expert's row of the bias, on columns [begin, end) of so many rows of y.
void AddBias(const Matrix& bias, int64_t expert, int64_t begin, int64_t end, int64_t count,
             float* y) {
  std::vector<float> values(static_cast<size_t>(bias.cols));
  bias.decode(bias.row(expert), bias.cols, values.data());
  for (int64_t t = 0; t < count; ++t)
    for (int64_t r = begin; r < end; ++r) y[t * bias.cols + r] += values[static_cast<size_t>(r)];
}

}  // namespace

// Of a batch: the scores, who takes which place, and what is computed there.
void Transformer::MakeRoomForExperts(int64_t batch) {
  const int64_t places = batch * hyper_.experts_used;
  const auto floats = [&](std::vector<float>& buffer, int64_t count) {
    buffer.resize(static_cast<size_t>(count));
  };
  floats(experts_.scores, batch * hyper_.experts);
  experts_.chosen.resize(static_cast<size_t>(places));
  experts_.place.resize(static_cast<size_t>(places));
  experts_.rows.resize(static_cast<size_t>(places));
  experts_.first.resize(static_cast<size_t>(hyper_.experts) + 1);
  floats(experts_.gate, places * hyper_.expert_width);
  floats(experts_.up, places * hyper_.expert_width);
  floats(experts_.down, places * hyper_.hidden);
}

void Transformer::RunExperts(int layer, int64_t batch) {
  const LayerWeights& w = weights_.layers[layer];
  const int64_t used = hyper_.experts_used, width = hyper_.expert_width, hidden = hyper_.hidden;
  const auto product = [&](Role weight, std::vector<float>& y) {
    return ExpertProduct{weight, &w.matrix(weight), &w.matrix(*Info(weight).bias), y.data()};
  };
  Multiply({{Role::kFfnRouter, &w.matrix(Role::kFfnRouter), &w.vector(Role::kFfnRouterBias),
             experts_.scores.data()}},
           normed_.data(), batch);
  Show(Step::kRouter, experts_.scores.data(), batch * hyper_.experts);
  const int64_t places = PlaceRows(batch);

  Prepare(hidden, normed_.data(), batch,
          AsIntegers(w.matrix(Role::kFfnGateExpert)) || AsIntegers(w.matrix(Role::kFfnUpExpert)));
  for (int64_t t = 0; t < batch; ++t)
    for (int64_t i = t * used; i < (t + 1) * used; ++i)
      experts_.rows[static_cast<size_t>(experts_.place[i])] = rows_[static_cast<size_t>(t)];
  MultiplyExperts(
      {product(Role::kFfnGateExpert, experts_.gate), product(Role::kFfnUpExpert, experts_.up)},
      width, places);
  Show(Step::kGate, experts_.gate.data(), places * width);
  Show(Step::kUp, experts_.up.data(), places * width);
  pool_.ParallelFor(places * width, kWorthAThread / 16, [&](int64_t begin, int64_t end) {
    Activate(family_.activation,
             std::span(experts_.gate)
                 .subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
             experts_.up.data() + begin);
  });

  Show(Step::kActivated, experts_.gate.data(), places * width);
  Prepare(width, experts_.gate.data(), places, AsIntegers(w.matrix(Role::kFfnDownExpert)));
  std::copy_n(rows_.begin(), places, experts_.rows.begin());
  MultiplyExperts({product(Role::kFfnDownExpert, experts_.down)}, hidden, places);
  Show(Step::kDown, experts_.down.data(), places * hidden);
  SumExperts(batch);
}

// Each choice gets its place: experts ascending, and of an expert the rows ascending.
int64_t Transformer::PlaceRows(int64_t batch) {
  const auto used = static_cast<size_t>(hyper_.experts_used),
             experts = static_cast<size_t>(hyper_.experts);
  std::ranges::fill(experts_.first, 0);
  for (size_t t = 0; t < static_cast<size_t>(batch); ++t) {
    const std::span<Choice> chosen = std::span(experts_.chosen).subspan(t * used, used);
    ChooseExperts(family_.experts->routing,
                  std::span(experts_.scores).subspan(t * experts, experts), chosen);
    for (const Choice& choice : chosen) ++experts_.first[static_cast<size_t>(choice.expert) + 1];
  }
  for (size_t e = 1; e <= experts; ++e) experts_.first[e] += experts_.first[e - 1];
  // Where the next row of each goes; behind the last one of each the next expert's begin again.
  for (size_t i = 0; i < static_cast<size_t>(batch) * used; ++i)
    experts_.place[i] = experts_.first[static_cast<size_t>(experts_.chosen[i].expert)]++;
  for (size_t e = experts; e > 0; --e) experts_.first[e] = experts_.first[e - 1];
  experts_.first[0] = 0;
  return experts_.first[experts];
}

void Transformer::MultiplyExperts(std::initializer_list<ExpertProduct> products, int64_t rows,
                                  int64_t places) {
  experts_.active.clear();
  for (int64_t e = 0; e < hyper_.experts; ++e)
    if (experts_.first[static_cast<size_t>(e)] < experts_.first[static_cast<size_t>(e) + 1])
      experts_.active.push_back(e);
  const auto rows_of = [&](int64_t expert) {
    const int64_t from = experts_.first[static_cast<size_t>(expert)],
                  to = experts_.first[static_cast<size_t>(expert) + 1];
    return std::span<const ActivationRow>(experts_.rows)
        .subspan(static_cast<size_t>(from), static_cast<size_t>(to - from));
  };
  for (const int64_t e : experts_.active) Tell(products, static_cast<int>(e), rows_of(e));
  const auto active = static_cast<int64_t>(experts_.active.size());
  const int64_t each = rows * static_cast<int64_t>(products.size());  // of one expert
  const int64_t work = products.begin()->w->cols * places / active;
  pool_.ParallelFor(active * each, Grain(work), [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t expert = experts_.active[static_cast<size_t>(begin / each)];
      const ExpertProduct& product = products.begin()[begin % each / rows];
      const int64_t row = begin % rows, to = std::min(rows, row + end - begin);
      const int64_t first = experts_.first[static_cast<size_t>(expert)];
      const std::span<const ActivationRow> x = rows_of(expert);
      const Matrix w = Slice(*product.w, expert, rows);
      float* const y = product.y + first * rows;
      MultiplyRange({product.role, &w, nullptr, y}, row, to, x);
      if (product.bias->rows > 0)
        AddBias(*product.bias, expert, row, to, static_cast<int64_t>(x.size()), y);
      begin += to - row;
    }
  });
}

// In the order of the choices: a row's sum does not depend on who else is in the batch.
void Transformer::SumExperts(int64_t batch) {
  const int64_t used = hyper_.experts_used, hidden = hyper_.hidden;
  pool_.ParallelFor(batch, Grain(used * hidden), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* sum = added_.data() + t * hidden;
      std::fill_n(sum, hidden, 0.f);
      for (int64_t i = t * used; i < (t + 1) * used; ++i)
        AddScaled(experts_.chosen[static_cast<size_t>(i)].weight,
                  std::span(experts_.down)
                      .subspan(static_cast<size_t>(experts_.place[i] * hidden),
                               static_cast<size_t>(hidden)),
                  sum);
    }
  });
}

}  // namespace quantfleet::engine
