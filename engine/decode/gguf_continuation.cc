#include "engine/decode/gguf_continuation.h"

#include <algorithm>
#include <cmath>

namespace quantfleet::engine {
namespace {

double Seconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

// Of the logits of `ids` under softmax over all of them.
class LogSoftmax {
 public:
  explicit LogSoftmax(std::span<const float> logits) : logits_(logits) {
    const double most = *std::ranges::max_element(logits);
    double sum = 0;
    for (float logit : logits) sum += std::exp(logit - most);
    shift_ = most + std::log(sum);
  }
  double operator()(int32_t id) const { return logits_[id] - shift_; }

 private:
  std::span<const float> logits_;
  double shift_;
};

}  // namespace

GgufContinuation::GgufContinuation(const text::Tokenizer& tokenizer, GenerateRequest request,
                                   std::vector<int32_t> prompt, int64_t context)
    : tokenizer_(tokenizer),
      request_(std::move(request)),
      prompt_(std::move(prompt)),
      context_(context),
      // The last token needs no place of its own.
      places_(std::min(context, static_cast<int64_t>(prompt_.size()) +
                                    std::clamp<int64_t>(request_.max_tokens - 1, 0, context))),
      sampler_(request_.sampling),
      stream_(request_.stop),
      // Text behind a control token (BOS, a turn's mark) was encoded with a space in front that it
      // does not have.
      strip_space_(tokenizer.AddsLeadingSpace() && tokenizer.Piece(prompt_.back()).empty()),
      begun_(std::chrono::steady_clock::now()) {
  result_.prompt_tokens = static_cast<int64_t>(prompt_.size());
}

std::span<const int32_t> GgufContinuation::NextPrompt(int64_t most) const {
  const auto rest = std::span(prompt_).subspan(prompted_);
  return rest.first(std::min(rest.size(), static_cast<size_t>(most)));
}

void GgufContinuation::Accept(std::span<const float> logits) {
  const absl::Status status = TryAccept(logits);
  if (!status.ok()) Fail(status);
}

absl::Status GgufContinuation::TryAccept(std::span<const float> logits) {
  if (!prompt_end_) prompt_end_ = std::chrono::steady_clock::now();
  if (request_.max_tokens == 0) return End("length"), absl::OkStatus();
  QF_ASSIGN_OR_RETURN(const int32_t token, sampler_.Pick(logits));
  if (tokenizer_.EndsGeneration(token)) return End("stop"), absl::OkStatus();
  result_.tokens.push_back(token);
  std::string piece = tokenizer_.Piece(token);
  if (strip_space_ && !piece.empty()) {
    if (piece[0] == ' ') piece.erase(0, 1);
    strip_space_ = false;
  }
  if (request_.top_logprobs >= 0) Judge(logits, token, piece);
  if (!Emit(stream_.Append(piece), /*last=*/false)) {
    End("cancelled");
  } else if (stream_.stopped()) {
    End("stop");
  } else if (result_.prompt_tokens + static_cast<int64_t>(result_.tokens.size()) > context_ ||
             static_cast<int64_t>(result_.tokens.size()) >= request_.max_tokens) {
    End("length");
  }
  return absl::OkStatus();
}

void GgufContinuation::Judge(std::span<const float> logits, int32_t token, std::string_view piece) {
  const LogSoftmax log_softmax(logits);
  Judged judged{{std::string(piece), log_softmax(token), {}, stream_.come().characters},
                stream_.come().bytes};
  for (const int32_t id : Likeliest(logits, request_.top_logprobs))
    judged.probability.top.emplace_back(id == token ? std::string(piece) : tokenizer_.Piece(id),
                                        log_softmax(id));
  judged_.push_back(std::move(judged));
}

bool GgufContinuation::Emit(const std::string& text, bool last) {
  result_.text += text;
  // A token goes with the piece that shows the first of its bytes. At the end go those too that
  // show none, unless a stop string swallowed them.
  const bool all = last && !stream_.stopped();
  const auto shown = std::ranges::find_if(
      judged_, [&](const Judged& judged) { return !all && judged.begin >= stream_.returned(); });
  const auto first = static_cast<ptrdiff_t>(result_.probabilities.size());
  for (auto at = judged_.begin(); at != shown; ++at)
    result_.probabilities.push_back(std::move(at->probability));
  judged_.erase(judged_.begin(), shown);
  const auto tokens = std::span(result_.probabilities).subspan(static_cast<size_t>(first));
  if ((text.empty() && tokens.empty()) || !request_.on_text) return true;
  return request_.on_text(text, tokens);
}

void GgufContinuation::End(std::string_view reason) {
  result_.finish_reason = reason;
  if (reason != "cancelled" && !Emit(stream_.Finish(), /*last=*/true))
    result_.finish_reason = "cancelled";
  done_ = true;
  cache.reset();
}

void GgufContinuation::Fail(absl::Status status) {
  status_ = std::move(status);
  done_ = true;
  cache.reset();
}

absl::StatusOr<GenerateResult> GgufContinuation::Take() {
  QF_RETURN_IF_ERROR(status_);
  if (result_.finish_reason.empty()) result_.finish_reason = "cancelled";
  const auto now = std::chrono::steady_clock::now();
  result_.prompt_seconds = Seconds(prompt_end_.value_or(now) - begun_);
  result_.generation_seconds = prompt_end_ ? Seconds(now - *prompt_end_) : 0;
  return std::move(result_);
}

}  // namespace quantfleet::engine
