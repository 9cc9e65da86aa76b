// Generations run on the queue's thread; their output is posted to the exchange's thread, so that
// the former does nothing but run the engine.

#include "agent/serve/completion.h"

#include "agent/serve/prepare.h"
#include "agent/serve/reply.h"

namespace quantfleet::agent {
namespace {

// One answer as it is generated. It is used only on the exchange's thread.
class Answer {
 public:
  Answer(http::ExchangePtr exchange, AnswerHead head, const CompletionRequest& wanted)
      : exchange_(std::move(exchange)),
        head_(std::move(head)),
        stream_(wanted.stream),
        include_usage_(wanted.include_usage) {}

  // Each piece is an event of its own, however late it is sent: many clients count them as tokens.
  void Add(std::string_view text, std::span<const engine::TokenProbability> tokens) {
    Begin();
    Send(RenderPiece(head_, text, tokens, first_));
    first_ = false;
  }

  void Finish(const absl::StatusOr<engine::GenerateResult>& result) {
    if (!result.ok() && !begun_) return exchange_->Reply(ErrorReply(result.status()));
    if (!stream_) return exchange_->Reply(MakeReply(200, RenderAnswer(head_, *result)));
    Begin();
    if (result.ok()) {
      if (first_) Send(RenderPiece(head_, "", {}, true));
      Send(RenderLastPiece(head_, result->finish_reason));
      if (include_usage_) Send(RenderUsagePiece(head_, *result));
    } else {
      Send(RenderError(ToApiError(result.status())));
    }
    Send("[DONE]");
    exchange_->End();
  }

 private:
  void Begin() {
    if (std::exchange(begun_, true)) return;
    exchange_->Begin(200, {{"Content-Type", "text/event-stream"}, {"Cache-Control", "no-cache"}});
  }
  void Send(std::string_view event) { exchange_->Write(fmt::format("data: {}\n\n", event)); }

  const http::ExchangePtr exchange_;
  const AnswerHead head_;
  const bool stream_, include_usage_;
  bool begun_ = false, first_ = true;
};

void Connect(Generation& generation, const http::ExchangePtr& exchange,
             const std::shared_ptr<Answer>& answer, bool stream) {
  generation.on_text = [exchange, answer, stream](
                           std::string_view piece,
                           std::span<const engine::TokenProbability> tokens) {
    if (!stream || (piece.empty() && tokens.empty())) return;
    exchange->Post([answer, text = std::string(piece),
                    kept = std::vector(tokens.begin(), tokens.end())] { answer->Add(text, kept); });
  };
  generation.on_done = [exchange, answer](absl::StatusOr<engine::GenerateResult> result) {
    exchange->Post([answer, kept = std::move(result)] { answer->Finish(kept); });
  };
}

}  // namespace

void Enqueue(const http::ExchangePtr& exchange, const std::shared_ptr<Generation>& generation,
             const CompletionWorld& world) {
  const absl::Status submitted = world.queue.Submit(generation);
  if (!submitted.ok()) return exchange->Reply(ErrorReply(submitted));
  // Weak: a client that stays connected does not keep alive what has ended.
  exchange->OnLeft([running = std::weak_ptr(generation), &cancelled = world.cancelled] {
    const auto one = running.lock();
    if (one && !one->cancelled.exchange(true)) ++cancelled;
  });
}

void Complete(const http::ExchangePtr& exchange, Endpoint endpoint, const CompletionWorld& world) {
  const auto wanted = ParseCompletionRequest(endpoint, exchange->request().body);
  if (!wanted.ok()) return exchange->Reply(ErrorReply(wanted.status()));
  AnswerHead head{.endpoint = endpoint,
                  .id = {},
                  .model = {},
                  .created = ToUnixMillis(world.clock.Now()) / 1000};
  auto prepared = PrepareGeneration(*wanted, world.models, world.random, &head);
  if (!prepared.ok()) return exchange->Reply(ErrorReply(prepared.status()));
  const std::shared_ptr<Generation> generation = *std::move(prepared);
  Connect(*generation, exchange, std::make_shared<Answer>(exchange, std::move(head), *wanted),
          wanted->stream);
  Enqueue(exchange, generation, world);
}

}  // namespace quantfleet::agent
