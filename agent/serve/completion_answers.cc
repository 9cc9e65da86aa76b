// Answers: from a request's body to a generation, and from its pieces to the client.

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include "agent/serve/completion_server_impl.h"

namespace quantfleet::agent {

absl::StatusOr<std::shared_ptr<Generation>> CompletionServer::Impl::Prepare(const CompletionRequest& wanted,
                                                                            AnswerHead* head) {
  QF_ASSIGN_OR_RETURN(ModelTable::Found found, models.Find(wanted.model));
  const bool chat = head->endpoint == Endpoint::kChatCompletions;
  head->id = random.Id(chat ? "chatcmpl-" : "cmpl-", 12);
  head->model = found.name;
  head->created = ToUnixMillis(clock.Now()) / 1000;
  head->logprobs = wanted.top_logprobs >= 0;
  auto generation = std::make_shared<Generation>();
  GenerateRequest& request = generation->request;
  request.prompt = wanted.prompt;
  request.stop = wanted.stop;
  request.top_logprobs = wanted.top_logprobs;
  if (chat) {
    QF_ASSIGN_OR_RETURN(ChatPrompt prompt, RenderChat(found.engine->chat_template(), wanted.messages));
    request.prompt = std::move(prompt.text);
    request.data = std::move(prompt.data);
    request.stop.insert(request.stop.end(), prompt.stop.begin(), prompt.stop.end());
  }
  request.max_tokens = std::min(wanted.max_tokens, found.engine->context());
  request.sampling = wanted.sampling;
  if (!wanted.has_seed) request.sampling.seed = random.Next();
  generation->engine = std::move(found.engine);
  return generation;
}

std::shared_ptr<Exchange> CompletionServer::Impl::Connect(Generation& generation) {
  auto exchange = std::make_shared<Exchange>(io.get_executor());
  generation.on_text = [this, exchange](std::string_view piece, std::span<const TokenProbability> tokens) {
    asio::post(io, [exchange, text = std::string(piece),
                    shown = std::vector<TokenProbability>(tokens.begin(), tokens.end())]() mutable {
      exchange->pending += text;
      std::ranges::move(shown, std::back_inserter(exchange->tokens));
      exchange->wake.cancel();
    });
  };
  generation.on_done = [this, exchange](absl::StatusOr<GenerateResult> result) {
    asio::post(io, [exchange, result = std::move(result)]() mutable {
      exchange->result = std::move(result);
      exchange->wake.cancel();
    });
  };
  return exchange;
}

void CompletionServer::Impl::Cancel(Generation& generation) {
  if (!generation.cancelled.exchange(true)) ++counts.cancelled;
}

// Readable without bytes is the end: nobody waits for this answer any more.
void CompletionServer::Impl::Watch(const ConnectionPtr& connection,
                                   const std::shared_ptr<Generation>& generation) {
  connection->stream.expires_never();
  connection->stream.socket().async_wait(Socket::wait_read,
                                         [this, connection, running = generation](error_code error) {
                                           if (error) return;
                                           if (connection->stream.socket().available(error) == 0)
                                             Cancel(*running);
                                         });
}

asio::awaitable<bool> CompletionServer::Impl::Complete(const ConnectionPtr& connection,
                                                       const Request& request, Endpoint endpoint_kind) {
  Stream& stream = connection->stream;
  const unsigned version = request.version();
  const bool keep = request.keep_alive();
  const auto wanted = ParseCompletionRequest(endpoint_kind, request.body());
  if (!wanted.ok()) co_return co_await ReplyError(stream, version, keep, ToApiError(wanted.status()));
  AnswerHead head{.endpoint = endpoint_kind, .id = {}, .model = {}};
  auto generation = Prepare(*wanted, &head);
  if (!generation.ok()) co_return co_await ReplyError(stream, version, keep, ToApiError(generation.status()));
  const auto exchange = Connect(**generation);
  const absl::Status submitted = queue.Submit(*generation);
  if (!submitted.ok()) co_return co_await ReplyError(stream, version, keep, ToApiError(submitted));

  Watch(connection, *generation);
  co_await exchange->Wait(/*whole=*/!wanted->stream);
  if (exchange->result && !exchange->result->ok())
    co_return co_await ReplyError(stream, version, keep, ToApiError(exchange->result->status()));
  if (!wanted->stream) {
    Page page{200, RenderAnswer(head, **exchange->result)};
    co_return co_await Reply(stream, version, keep, std::move(page));
  }
  ++counts.requests[200];
  const bool sent = co_await StreamAnswer(stream, request, *wanted, head, *exchange);
  if (!sent && !exchange->result) Cancel(**generation);
  co_return sent&& keep&& version >= 11;
}

asio::awaitable<bool> CompletionServer::Impl::StreamAnswer(Stream& stream, const Request& request,
                                                           const CompletionRequest& wanted,
                                                           const AnswerHead& head, Exchange& exchange) {
  const bool chunked = request.version() >= 11;  // HTTP/1.0 ends with the connection instead
  http::response<http::empty_body> response(http::status::ok, request.version());
  response.set(http::field::content_type, "text/event-stream");
  response.set(http::field::cache_control, "no-cache");
  response.keep_alive(chunked && request.keep_alive() && !draining);
  response.chunked(chunked);
  http::response_serializer<http::empty_body> serializer(response);
  stream.expires_after(options.write_timeout);
  auto [header_error, header_size] = co_await http::async_write_header(stream, serializer, kTuple);
  if (header_error) co_return false;

  bool first = true, last = false;
  while (!last) {
    stream.expires_never();
    co_await exchange.Wait(/*whole=*/false);
    last = exchange.result.has_value();
    std::string events;
    if (!exchange.pending.empty() || !exchange.tokens.empty()) {
      events = "data: " + RenderPiece(head, exchange.pending, exchange.tokens, first) + "\n\n";
      exchange.pending.clear();
      exchange.tokens.clear();
      first = false;
    }
    if (last && exchange.result->ok()) {
      const GenerateResult& result = **exchange.result;
      if (first) events += "data: " + RenderPiece(head, "", {}, true) + "\n\n";
      events += "data: " + RenderLastPiece(head, result.finish_reason) + "\n\n";
      if (wanted.include_usage) events += "data: " + RenderUsagePiece(head, result) + "\n\n";
    } else if (last) {
      events += "data: " + RenderError(ToApiError(exchange.result->status())) + "\n\n";
    }
    if (last) events += "data: [DONE]\n\n";
    stream.expires_after(options.write_timeout);
    error_code error;
    if (chunked) {
      std::tie(error, std::ignore) =
          co_await asio::async_write(stream, http::make_chunk(asio::buffer(events)), kTuple);
    } else {
      std::tie(error, std::ignore) = co_await asio::async_write(stream, asio::buffer(events), kTuple);
    }
    if (error) co_return false;
  }
  if (chunked) {
    auto [error, size] = co_await asio::async_write(stream, http::make_chunk_last(), kTuple);
    if (error) co_return false;
  }
  co_return true;
}

}  // namespace quantfleet::agent
