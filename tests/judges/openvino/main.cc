// A small evaluator of OpenVINO models as judge of a folder with openvino_model.xml: the graph is
// executed as it stands.
//
//   openvino_ir FOLDER nll   TOKENS [PREFILL]
//   openvino_ir FOLDER beams TOKENS OTHER
//
// TOKENS and OTHER are files of ids between commas. nll is the mean of -ln p(token | all before it)
// over every token after the first: the first PREFILL tokens (all, unless given) go in at once,
// each further one alone, with the state that was left. beams puts both texts into one batch, the
// shorter behind padding, all but the last ten tokens at once; then both go on token by token, and
// change their places in the batch each time. Prints one line of JSON: {"tokens", "mean_nll"}, one
// or a list of two.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <numeric>

#include "tests/judges/openvino/graph.h"

namespace {

using namespace openvino_ir;
using Ids = std::vector<int64_t>;

Ids ReadIds(const char* path) {
  std::ifstream in(path);
  Ids ids;
  for (std::string id; std::getline(in, id, ',');) ids.push_back(std::stoll(id));
  if (ids.size() < 2)
    throw std::runtime_error("fewer than two tokens: there is nothing to predict");
  return ids;
}

double NllOf(const float* logits, int64_t vocab, int64_t id) {
  double sum = 0;
  const double most = *std::max_element(logits, logits + vocab);
  for (int64_t i = 0; i < vocab; ++i) sum += std::exp(logits[i] - most);
  return most + std::log(sum) - logits[id];
}

Tensor Integers(const char* type, Shape shape, Ids values) {
  return {type, std::move(shape), {}, std::move(values)};
}

// A batch of texts that goes on: what each has had so far, padding first.
struct Batch {
  std::vector<Ids> masks;  // of each row, over all tokens so far

  // Logits of each row's new tokens; `padding` of them, in front, are none. `beams`: whose state
  // each row goes on with.
  Value Step(Graph& graph, const std::vector<Ids>& tokens, const std::vector<int64_t>& padding,
             const Ids& beams) {
    const auto rows = static_cast<int64_t>(tokens.size()),
               now = static_cast<int64_t>(tokens[0].size());
    std::vector<Ids> before(tokens.size());
    for (size_t r = 0; r < tokens.size(); ++r)
      if (!masks.empty()) before[r] = masks[static_cast<size_t>(beams[r])];
    masks = before;
    Ids ids, mask, positions;
    for (size_t r = 0; r < tokens.size(); ++r) {
      int64_t position = std::accumulate(masks[r].begin(), masks[r].end(), int64_t{0});
      for (int64_t i = 0; i < now; ++i) {
        const bool real = i >= padding[r];
        masks[r].push_back(real);
        positions.push_back(real ? position++ : 1);
      }
      ids.insert(ids.end(), tokens[r].begin(), tokens[r].end());
      mask.insert(mask.end(), masks[r].begin(), masks[r].end());
    }
    return graph.Run(
        {{"input_ids", Integers("i64", {rows, now}, ids)},
         {"attention_mask", Integers("i64", {rows, static_cast<int64_t>(masks[0].size())}, mask)},
         {"position_ids", Integers("i64", {rows, now}, positions)},
         {"beam_idx", Integers("i32", {rows}, beams)}},
        "logits");
  }
};

const float* Row(const Tensor& logits, int64_t row, int64_t token) {
  return logits.floats.data() + (row * logits.shape.at(1) + token) * logits.shape.at(2);
}

void Nll(Graph& graph, const Ids& ids, size_t prefill) {
  Batch batch;
  double sum = 0;
  size_t at = 0, step = std::min(prefill, ids.size() - 1);
  while (at < ids.size() - 1) {
    const Value logits = batch.Step(
        graph,
        {Ids(ids.begin() + static_cast<long>(at), ids.begin() + static_cast<long>(at + step))}, {0},
        {0});
    for (size_t i = 0; i < step; ++i)
      sum += NllOf(Row(*logits, 0, static_cast<int64_t>(i)), logits->shape.at(2), ids[at + i + 1]);
    at += step;
    step = 1;
  }
  std::printf("{\"tokens\": %zu, \"mean_nll\": %.9f}\n", ids.size(),
              sum / static_cast<double>(ids.size() - 1));
}

void Beams(Graph& graph, const std::vector<Ids>& texts) {
  constexpr int64_t kAlone = 10;
  const auto size = [&](size_t r) { return static_cast<int64_t>(texts[r].size()); };
  const int64_t width = std::max(size(0), size(1)) - kAlone;
  if (std::min(size(0), size(1)) <= kAlone + 1) throw std::runtime_error("the texts are too short");
  Batch batch;
  std::vector<Ids> tokens;
  std::vector<int64_t> padding;
  for (size_t r = 0; r < 2; ++r) {
    padding.push_back(width - (size(r) - kAlone));
    tokens.emplace_back(static_cast<size_t>(padding[r]), 0);
    tokens[r].insert(tokens[r].end(), texts[r].begin(), texts[r].end() - kAlone);
  }
  double sums[2] = {0, 0};
  Value logits = batch.Step(graph, tokens, padding, {0, 1});
  for (size_t r = 0; r < 2; ++r)
    for (int64_t i = padding[r]; i < width; ++i)
      sums[r] += NllOf(Row(*logits, static_cast<int64_t>(r), i), logits->shape.at(2),
                       texts[r][static_cast<size_t>(i - padding[r] + 1)]);
  for (int64_t left = kAlone; left > 1; --left) {
    // Text r sits in the other row each time.
    const size_t turn = static_cast<size_t>(kAlone - left + 1) % 2;
    std::vector<Ids> next(2);
    for (size_t r = 0; r < 2; ++r)
      next[r ^ turn] = {texts[r][texts[r].size() - static_cast<size_t>(left)]};
    logits = batch.Step(graph, next, {0, 0}, {1, 0});
    for (size_t r = 0; r < 2; ++r)
      sums[r] += NllOf(Row(*logits, static_cast<int64_t>(r ^ turn), 0), logits->shape.at(2),
                       texts[r][texts[r].size() - static_cast<size_t>(left) + 1]);
  }
  std::printf("{\"tokens\": [%zu, %zu], \"mean_nll\": [%.9f, %.9f]}\n", texts[0].size(),
              texts[1].size(), sums[0] / static_cast<double>(size(0) - 1),
              sums[1] / static_cast<double>(size(1) - 1));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string command = argc > 2 ? argv[2] : "";
    if ((command == "nll" && (argc == 4 || argc == 5)) || (command == "beams" && argc == 5)) {
      Graph graph(argv[1]);
      if (command == "beams") {
        Beams(graph, {ReadIds(argv[3]), ReadIds(argv[4])});
      } else {
        Nll(graph, ReadIds(argv[3]), argc == 5 ? std::stoull(argv[4]) : SIZE_MAX);
      }
      return 0;
    }
    std::fprintf(stderr, "usage: openvino_ir FOLDER nll TOKENS [PREFILL] | beams TOKENS OTHER\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "openvino_ir: %s\n", error.what());
    return 1;
  }
}
