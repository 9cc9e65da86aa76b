#include "engine/calibrate/self_text.h"

#include <algorithm>
#include <set>

#include "common/base/digest.h"
#include "engine/decode/load_chat.h"
#include "engine/decode/sampler.h"
#include "pipeline/model/running_memory.h"

namespace quantfleet::engine {
namespace {

constexpr float kTemperatures[] = {0.7f, 0.85f, 1.f, 1.15f};
constexpr int kTopK = 100;
constexpr float kTopP = 0.95f;
// For templates that mention the date: any day, as long as it is always the same one.
constexpr int64_t kToday = 1'767'225'600;

// What a chat's template puts in front of a user's message, behind it, and behind the assistant's.
// Empty: there is no template that says so.
struct TurnMarks {
  std::vector<int32_t> before_first, behind_user, behind_assistant;
};

absl::StatusOr<TurnMarks> FindTurns(const text::TokenizerData& data,
                                    const text::Tokenizer& tokenizer) {
  constexpr std::string_view kUser = "firstquestion", kAssistant = "firstanswer",
                             kNext = "secondquestion";
  TurnMarks marks;
  const auto chat =
      text::ChatTemplate::Read(data.chat_template, ControlTokensOf(data), ToolTemplateOf(data));
  if (chat.state() != text::ChatTemplate::State::kKnown) return marks;
  text::Chat talk;
  for (const auto& [role, content] :
       {std::pair("user", kUser), {"assistant", kAssistant}, {"user", kNext}})
    talk.messages.push_back(text::MakeMessage(role, content));
  const auto whole = chat.Render(talk, kToday);
  talk.messages.resize(1);
  const auto begun = chat.Render(talk, kToday);
  // Not every template takes such talks, or leaves messages as they are.
  if (!whole.ok() || !begun.ok()) return marks;
  const size_t user = begun->text.find(kUser), answer = whole->text.find(kAssistant),
               next = whole->text.find(kNext);
  if (user == std::string::npos || answer == std::string::npos || next == std::string::npos ||
      next < answer)
    return marks;
  const auto encode = [&](std::string_view text, bool add_bos) {
    return tokenizer.Encode(text, add_bos, /*parse_special=*/true);
  };
  const size_t answered = answer + kAssistant.size();
  QF_ASSIGN_OR_RETURN(marks.before_first, encode(begun->text.substr(0, user), true));
  QF_ASSIGN_OR_RETURN(marks.behind_user, encode(begun->text.substr(user + kUser.size()), false));
  QF_ASSIGN_OR_RETURN(marks.behind_assistant,
                      encode(whole->text.substr(answered, next - answered), false));
  return marks;
}

// Of so many last tokens, fewer different ones than this are a loop that the model does not leave.
constexpr size_t kLookBack = 48, kDifferent = 10;

// Numbers that depend on the seed, the chunk and the occasion alone.
uint64_t NumberOf(uint64_t seed, size_t chunk, uint64_t occasion) {
  return Load<uint64_t>(HashText(fmt::format("{} {} {}", seed, chunk, occasion)).bytes.data());
}

// Where texts begin: with the token for it where the model has one put there, and with any token of
// the vocabulary, as a model that is given nothing begins every text alike.
class Beginnings {
 public:
  explicit Beginnings(const text::TokenizerData& data) {
    if (data.add_bos && data.bos) begin_.push_back(*data.bos);
    for (size_t id = 0; id < data.tokens.size(); ++id)
      if (data.tokens[id].type == text::TokenType::kNormal)
        words_.push_back(static_cast<int32_t>(id));
    if (words_.empty()) words_.push_back(data.eos.value_or(0));
  }
  std::vector<int32_t> Draw(uint64_t number) const {
    std::vector<int32_t> tokens = begin_;
    tokens.push_back(words_[number % words_.size()]);
    return tokens;
  }

 private:
  std::vector<int32_t> begin_, words_;
};

// One chunk on its way. Tokens are given (marks) or drawn; one that has been fed has its place in
// the cache.
class SelfWritten {
 public:
  // `chat` null: it writes what it likes.
  SelfWritten(const TurnMarks* chat, const Beginnings& beginnings, float temperature, uint64_t seed,
              size_t number, size_t length)
      : chat_(chat),
        beginnings_(beginnings),
        seed_(seed),
        number_(number),
        length_(length),
        sampler_({.temperature = temperature,
                  .top_k = kTopK,
                  .top_p = kTopP,
                  .seed = NumberOf(seed, number, 0)}) {
    Begin();
  }

  int32_t next() const { return tokens_[fed_]; }
  bool done() const { return fed_ + 1 >= length_; }
  const std::vector<int32_t>& tokens() const { return tokens_; }

  absl::Status Fed(std::span<const float> logits, const text::Tokenizer& tokenizer) {
    if (++fed_ < tokens_.size()) return absl::OkStatus();
    QF_ASSIGN_OR_RETURN(const int32_t token, sampler_.Pick(logits));
    if (!tokenizer.EndsGeneration(token)) {
      Give({token});
      if (Loops()) Begin();
    } else if (chat_ != nullptr) {
      // The marks have what ends a turn.
      Give(user_speaks_ ? chat_->behind_user : chat_->behind_assistant);
      user_speaks_ = !user_speaks_;
      begun_ = tokens_.size();
    } else {
      Give({token});
      Begin();
    }
    return absl::OkStatus();
  }

 private:
  void Begin() {
    user_speaks_ = true;
    Give(chat_ != nullptr ? chat_->before_first
                          : beginnings_.Draw(NumberOf(seed_, number_, ++texts_)));
    begun_ = tokens_.size();
  }
  void Give(const std::vector<int32_t>& tokens) {
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    if (tokens_.size() > length_) tokens_.resize(length_);
  }
  bool Loops() const {
    if (tokens_.size() < begun_ + kLookBack) return false;
    const std::set<int32_t> last(tokens_.end() - kLookBack, tokens_.end());
    return last.size() < kDifferent;
  }

  const TurnMarks* const chat_;
  const Beginnings& beginnings_;
  const uint64_t seed_;
  const size_t number_, length_;
  Sampler sampler_;
  std::vector<int32_t> tokens_;
  size_t fed_ = 0;
  size_t begun_ = 0;  // where what is drawn began
  uint64_t texts_ = 0;
  bool user_speaks_ = true;
};

}  // namespace

absl::StatusOr<std::vector<int32_t>> WriteSelfText(RunnableModel& model,
                                                   const text::Tokenizer& tokenizer,
                                                   const SelfTextOptions& options) {
  const text::TokenizerData& data = model.description.tokenizer;
  const pipeline::Hyperparameters& hyper = model.description.hyper;
  QF_ASSIGN_OR_RETURN(const TurnMarks marks, FindTurns(data, tokenizer));
  const bool chats =
      !marks.before_first.empty() && !marks.behind_user.empty() && !marks.behind_assistant.empty();
  const Beginnings beginnings(data);

  std::vector<SelfWritten> texts;
  for (size_t i = 0; i < static_cast<size_t>(options.chunks); ++i)
    texts.emplace_back(chats && i % 4 != 0 ? &marks : nullptr, beginnings,
                       kTemperatures[(i + i / 4) % 4], options.seed, i,
                       static_cast<size_t>(options.chunk));
  constexpr pipeline::DType kCache = pipeline::DType::kF16;
  const auto each = static_cast<uint64_t>(pipeline::CacheBytes(hyper, kCache, options.chunk));
  const uint64_t together =
      std::min<uint64_t>({options.memory_bytes / std::max<uint64_t>(1, each),
                          static_cast<uint64_t>(Transformer::kBatch), texts.size()});
  if (together == 0)
    return ResourceExhausted(
        "writing a text takes a cache of {}, but only {} are left for it: use a smaller --chunk, "
        "more --memory, or --text",
        HumanBytes(each), HumanBytes(options.memory_bytes));

  std::vector<float> logits;
  const auto vocab = static_cast<size_t>(hyper.vocab);
  int64_t done = 0;
  for (size_t first = 0; first < texts.size(); first += together) {
    const std::span<SelfWritten> some =
        std::span(texts).subspan(first, std::min<size_t>(together, texts.size() - first));
    std::vector<std::unique_ptr<KvCache>> caches;
    for (size_t i = 0; i < some.size(); ++i) {
      QF_ASSIGN_OR_RETURN(caches.emplace_back(), KvCache::Create(hyper, kCache, options.chunk));
    }
    // All have as many tokens, and each pass feeds one of each.
    while (!some.front().done()) {
      if (options.stop.stop_requested()) return Cancelled("stopped while writing a text");
      std::vector<Transformer::Next> next;
      for (size_t i = 0; i < some.size(); ++i) next.push_back({caches[i].get(), some[i].next()});
      QF_RETURN_IF_ERROR(model.transformer->RunTogether(next, logits));
      QF_RETURN_IF_ERROR(model.Whole());
      for (size_t i = 0; i < some.size(); ++i)
        QF_RETURN_IF_ERROR(some[i].Fed(std::span(logits).subspan(i * vocab, vocab), tokenizer));
      done += static_cast<int64_t>(some.size());
      if (options.on_progress) options.on_progress(done, options.chunk * options.chunks);
    }
  }
  std::vector<int32_t> tokens;
  for (const SelfWritten& text : texts)
    tokens.insert(tokens.end(), text.tokens().begin(), text.tokens().end());
  return tokens;
}

}  // namespace quantfleet::engine
