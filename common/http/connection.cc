#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "common/http/connection_asio.h"
#include "common/trust/openssl_handles.h"

namespace quantfleet::http {
namespace {

namespace wire = beast::http;

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr size_t kSourcePiece = 64 << 10, kPassedPiece = 16 << 10;

unsigned VersionOf(const Request& request) { return request.version == 10 ? 10 : 11; }

void AddConnection(const Request& request, bool keep, Fields& fields) {
  if (keep && VersionOf(request) == 10) fields.emplace_back("Connection", "keep-alive");
  if (!keep && VersionOf(request) == 11) fields.emplace_back("Connection", "close");
}

Request FromWire(wire::request<wire::string_body> from) {
  Request request;
  request.method = std::string(from.method_string());
  request.target = std::string(from.target());
  request.version = from.version();
  request.keep_alive = from.keep_alive();
  for (const auto& field : from)
    request.fields.emplace_back(std::string(field.name_string()), std::string(field.value()));
  request.body = std::move(from.body());
  ToOriginForm(request);
  return request;
}

}  // namespace

// The answer to one request, as far as it has come. Touched on the strand alone.
struct Connection::Outgoing {
  explicit Outgoing(const asio::any_io_executor& executor) : news(executor) {}

  bool Decided() const { return whole || head || passed || over; }
  void Tell() { news.cancel(); }
  // Until Tell, or at once where somebody told since `ready` was looked at: there is one strand.
  asio::awaitable<void> Await() {
    news.expires_at(asio::steady_timer::time_point::max());
    co_await news.async_wait(kTuple);
  }
  void Leave() {
    left = true;
    if (const auto tell = std::exchange(on_left, nullptr); tell && !over) tell();
  }

  Request request;
  std::optional<Response> whole;
  struct Head {
    int status;
    Fields fields;
  };
  std::optional<Head> head;  // of a stream
  std::string pending;       // of it, not sent
  bool ended = false;        // of it: nothing comes behind `pending`
  std::optional<PassOn> passed;
  bool over = false;  // nobody waits for it any more
  bool left = false;  // the client
  std::function<void()> on_left;
  asio::steady_timer news;
  asio::cancellation_signal stop_watch;
};

// What a handler holds. The connection itself holds Outgoing, so that it sees when all have let go.
class Connection::Handle final : public Exchange {
 public:
  Handle(std::shared_ptr<Connection> connection, std::shared_ptr<Outgoing> outgoing)
      : connection_(std::move(connection)), outgoing_(std::move(outgoing)) {}
  // The last of what it holds ends on the strand, too. Posted, not dispatched: what another thread
  // answered may still wait in the strand's queue, and comes first.
  ~Handle() override {
    const auto executor = connection_->stream_.socket().get_executor();
    asio::post(executor, [connection = std::move(connection_), out = std::move(outgoing_)] {
      if (!out->Decided()) {
        out->whole = connection->state_.options.refuse({Refusal::Kind::kFailed});
        out->over = !out->whole;
      } else if (out->head && !out->ended) {
        out->over = true;
      }
      out->Tell();
    });
  }

  const Request& request() const override { return outgoing_->request; }
  void Reply(Response response) override {
    Do([response = std::move(response)](Connection&, Outgoing& outgoing) mutable {
      if (!outgoing.Decided()) outgoing.whole = std::move(response);
    });
  }
  void Begin(int status, Fields fields) override {
    Do([status, fields = std::move(fields)](Connection&, Outgoing& outgoing) mutable {
      if (!outgoing.Decided()) outgoing.head = {status, std::move(fields)};
    });
  }
  void Pass(PassOn how) override {
    Do([how = std::move(how)](Connection&, Outgoing& outgoing) mutable {
      if (!outgoing.Decided()) outgoing.passed = std::move(how);
    });
  }
  void Write(std::string bytes) override {
    Do([bytes = std::move(bytes)](Connection&, Outgoing& outgoing) {
      if (!outgoing.over) outgoing.pending += bytes;
    });
  }
  void End() override {
    Do([](Connection&, Outgoing& outgoing) {
      outgoing.ended = true;
      outgoing.on_left = nullptr;
    });
  }
  void OnLeft(std::function<void()> left) override {
    Do([left = std::move(left)](Connection&, Outgoing& outgoing) mutable {
      outgoing.on_left = std::move(left);
      if (outgoing.left) outgoing.Leave();
    });
  }
  void Post(std::function<void()> act) override {
    asio::post(connection_->stream_.socket().get_executor(), std::move(act));
  }

 private:
  template <class Act>
  void Do(Act act) {
    asio::dispatch(
        connection_->stream_.socket().get_executor(),
        [connection = connection_, outgoing = outgoing_, act = std::move(act)]() mutable {
          act(*connection, *outgoing);
          outgoing->Tell();
        });
  }

  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Outgoing> outgoing_;
};

Connection::Connection(uint64_t id, Socket socket, bool turned_away, ServerState& state)
    : id_(id),
      turned_away_(turned_away),
      state_(state),
      stream_(std::move(socket), state.tls ? &*state.tls : nullptr),
      buffer_(size_t{2} * state.options.head_bytes) {}

void Connection::Close(bool also_answering) {
  asio::dispatch(stream_.socket().get_executor(), [self = shared_from_this(), also_answering] {
    if (self->answering_ && !also_answering) return;
    self->stream_.Close();
    if (const auto outgoing = self->outgoing_.lock()) {
      outgoing->over = true;
      outgoing->Tell();
    }
  });
}

asio::awaitable<void> Connection::Serve() {
  error_code error;  // a unix socket has no such option
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), error);
  stream_.ExpiresAfter(state_.options.handshake_timeout);
  error = co_await stream_.Handshake(asio::ssl::stream_base::server);
  if (error) co_return;
  if (SSL* tls = stream_.tls()) {
    const trust::X509Ptr certificate(SSL_get1_peer_certificate(tls));
    if (certificate) {
      peer_certificate_ =
          std::make_shared<const std::string>(trust::CertificateToPem(certificate.get()));
      std::lock_guard lock(state_.mutex);
      state_.crowd.Recognize(id_);
    }
  }
  while (true) {
    const bool again = co_await ServeOne();
    if (!again || state_.draining) break;
  }
  co_await stream_.End(/*answered=*/false);
  stream_.Close();
}

// One request and its answer; whether there may be another.
asio::awaitable<bool> Connection::ServeOne() {
  wire::request_parser<wire::string_body> parser;
  parser.body_limit(state_.options.body_bytes);
  parser.header_limit(state_.options.head_bytes);
  parser.eager(true);
  const error_code error = co_await Read(parser);
  answering_ = true;
  const auto outgoing = std::make_shared<Outgoing>(stream_.socket().get_executor());
  outgoing->request = FromWire(parser.release());
  outgoing->request.peer_certificate = peer_certificate_;
  bool again = false;
  if (error) {
    const std::optional<Refusal> refusal = RefusalFor(error);
    outgoing->request.keep_alive = false;
    outgoing->whole = refusal ? state_.options.refuse(*refusal) : std::nullopt;
    if (!outgoing->whole) co_return false;
    co_await Send(outgoing->request, std::move(*outgoing->whole));
    if (!stream_.tls()) co_await stream_.End(/*answered=*/true);
  } else if (turned_away_) {
    outgoing->request.keep_alive = false;
    outgoing->whole = state_.options.refuse({Refusal::Kind::kCrowded});
    if (outgoing->whole) co_await Send(outgoing->request, std::move(*outgoing->whole));
  } else {
    outgoing_ = outgoing;
    again = co_await Answer(outgoing);
    outgoing->over = true;
    outgoing->on_left = nullptr;
    outgoing->stop_watch.emit(asio::cancellation_type::all);
  }
  answering_ = false;
  co_return again;
}

asio::awaitable<error_code> Connection::Read(wire::request_parser<wire::string_body>& parser) {
  stream_.ExpiresAfter(turned_away_ ? state_.options.turned_away_timeout
                                    : state_.options.read_timeout);
  if (!turned_away_) {
    std::lock_guard lock(state_.mutex);
    state_.crowd.BeginWaiting(id_, std::chrono::steady_clock::now());
  }
  const std::function<bool()> head = [&parser] { return parser.is_header_done(); };
  error_code error = co_await Feed(stream_, buffer_, parser, head);
  // Clients that ask first wait for this before they send a body, curl from 1 MiB on.
  if (!error && !parser.is_done() && !turned_away_ &&
      beast::iequals(parser.get()[wire::field::expect], "100-continue")) {
    error = co_await stream_.Write(kContinue);
  }
  const std::function<bool()> done = [&parser] { return parser.is_done(); };
  if (!error) error = co_await Feed(stream_, buffer_, parser, done);
  std::lock_guard lock(state_.mutex);
  state_.crowd.EndWaiting(id_);
  co_return error;
}

// nullopt: there is nobody to answer.
std::optional<Refusal> Connection::RefusalFor(error_code error) const {
  if (error == wire::error::body_limit || error == wire::error::unexpected_body)
    return Refusal{Refusal::Kind::kBodyTooLarge};
  if (error == wire::error::header_limit || error == wire::error::buffer_overflow)
    return Refusal{Refusal::Kind::kHeadTooLarge};
  if (error == wire::error::end_of_stream) return std::nullopt;
  if (error == wire::error::partial_message)
    return Refusal{Refusal::Kind::kCutShort, error.message()};
  if (error.category() == wire::make_error_code(wire::error::bad_method).category())
    return Refusal{Refusal::Kind::kNotHttp, error.message()};
  return std::nullopt;
}

void Connection::CallHandler(const std::shared_ptr<Outgoing>& outgoing) {
  try {
    state_.handler(std::make_shared<Handle>(shared_from_this(), outgoing));
  } catch (const std::exception&) {
    // The handle that went with it has said so.
  }
}

// Readable without bytes is the end: nobody waits for this answer any more.
void Connection::Watch(const std::shared_ptr<Outgoing>& outgoing) {
  stream_.ExpiresNever();
  const auto on_readable = [self = shared_from_this(), outgoing](error_code error) {
    if (error || outgoing->over) return;
    if (self->stream_.socket().available(error) == 0) outgoing->Leave();
  };
  stream_.socket().async_wait(
      Socket::wait_read, asio::bind_cancellation_slot(outgoing->stop_watch.slot(), on_readable));
}

// Whether the connection lives on.
asio::awaitable<bool> Connection::Answer(std::shared_ptr<Outgoing> outgoing) {
  CallHandler(outgoing);
  if (!outgoing->whole) Watch(outgoing);
  while (!outgoing->Decided()) co_await outgoing->Await();
  if (outgoing->whole) {
    outgoing->on_left = nullptr;  // who leaves with the answer in hand has waited for it
    co_return co_await Send(outgoing->request, std::move(*outgoing->whole));
  }
  const bool chunked = VersionOf(outgoing->request) == 11;
  bool sent = false;
  if (outgoing->head) sent = co_await SendStream(*outgoing);
  if (outgoing->passed) sent = co_await SendPassed(*outgoing);
  if (!sent) outgoing->Leave();
  co_return sent && outgoing->request.keep_alive&& chunked;
}

asio::awaitable<bool> Connection::Send(const Request& request, Response response) {
  const bool keep = request.keep_alive && !state_.draining;
  const bool bodiless = response.status == 204 || response.status == 304;
  const bool with_body = request.method != "HEAD" && !bodiless;
  Fields fields = std::move(response.fields);
  AddConnection(request, keep, fields);
  const uint64_t length = response.source ? response.source_size : response.body.size();
  if (!bodiless) fields.emplace_back("Content-Length", std::to_string(length));
  state_.CountAnswer(response.status);
  std::string bytes = ResponseHead(response.status, VersionOf(request), fields);
  if (with_body) bytes += response.body;
  const bool sent = co_await Write(bytes);
  // Not `sent && co_await ...`: g++ 12 evaluates the right side anyway.
  if (!sent) co_return false;
  if (with_body && response.source) {
    const bool all = co_await SendSource(response);
    if (!all) co_return false;
  }
  co_return keep;
}

asio::awaitable<bool> Connection::SendSource(const Response& response) {
  std::string piece(static_cast<size_t>(std::min<uint64_t>(kSourcePiece, response.source_size)),
                    '\0');
  for (uint64_t done = 0; done < response.source_size;) {
    const auto size =
        static_cast<size_t>(std::min<uint64_t>(piece.size(), response.source_size - done));
    const MutableBytes part = std::as_writable_bytes(std::span(piece)).first(size);
    if (!response.source(part).ok()) co_return false;
    const bool sent = co_await Write(std::string_view(piece).substr(0, size));
    if (!sent) co_return false;
    done += size;
    std::lock_guard lock(state_.mutex);
    state_.source_bytes += size;
  }
  co_return true;
}

// HTTP/1.0 knows no chunks: there the end of the connection is the end of the body.
std::string Connection::StreamHead(const Request& request, int status, Fields fields) const {
  const bool chunked = VersionOf(request) == 11;
  AddConnection(request, chunked && request.keep_alive && !state_.draining, fields);
  if (chunked) fields.emplace_back("Transfer-Encoding", "chunked");
  state_.CountAnswer(status);
  return ResponseHead(status, VersionOf(request), fields);
}

asio::awaitable<bool> Connection::SendStream(Outgoing& outgoing) {
  const bool chunked = VersionOf(outgoing.request) == 11;
  std::string bytes =
      StreamHead(outgoing.request, outgoing.head->status, std::move(outgoing.head->fields));
  for (bool last = false; !last;) {
    stream_.ExpiresNever();
    while (outgoing.pending.empty() && !outgoing.ended && !outgoing.over) co_await outgoing.Await();
    if (outgoing.over) co_return false;
    last = outgoing.ended;
    const std::string added = std::exchange(outgoing.pending, {});
    if (!added.empty()) bytes += chunked ? Chunk(added) : added;
    if (last && chunked) bytes += kLastChunk;
    const bool sent = co_await Write(bytes);
    if (!sent) co_return false;
    bytes.clear();
  }
  co_return true;
}

// An answer that breaks off ends without its last chunk, and the connection with it: the client
// sees that it is not whole.
asio::awaitable<bool> Connection::SendPassed(Outgoing& outgoing) {
  PassOn how = *std::exchange(outgoing.passed, std::nullopt);
  const auto other = std::make_shared<ClientConnection>(stream_.socket().get_executor(), nullptr);
  outgoing.on_left = [other, left = std::move(how.on_left)] {
    other->stream().Close();
    if (left) left();
  };
  if (outgoing.left) co_return false;
  std::vector<Protocol::endpoint> to;
  to.emplace_back(&how.to.at, how.to.size);
  error_code error = co_await other->Connect(std::move(to), how.connect_time);
  if (!error) error = co_await other->Ask(how.request, std::nullopt);
  if (error) {
    other->stream().Close();
    outgoing.on_left = nullptr;
    Response failure = how.on_failure(error.message());
    co_return co_await Send(outgoing.request, std::move(failure));
  }
  const auto& answer = other->answer().get();
  Fields fields;
  for (const std::string& name : how.fields)
    if (answer.count(name) > 0) fields.emplace_back(name, std::string(answer[name]));
  const bool chunked = VersionOf(outgoing.request) == 11;
  std::string bytes =
      StreamHead(outgoing.request, static_cast<int>(answer.result_int()), std::move(fields));
  std::string piece(kPassedPiece, '\0');
  for (bool last = false; !last;) {
    const bool sent = co_await Write(bytes);
    if (!sent) co_return false;
    stream_.ExpiresNever();
    size_t size = 0;
    error = co_await other->Next(piece, size, std::nullopt);
    if (error) {
      outgoing.on_left = nullptr;  // it is the other server that broke off
      co_return false;
    }
    last = size == 0;
    const std::string_view added = std::string_view(piece).substr(0, size);
    bytes = !chunked ? std::string(added) : last ? std::string(kLastChunk) : Chunk(added);
  }
  outgoing.on_left = nullptr;
  other->stream().Close();
  co_return co_await Write(bytes);
}

asio::awaitable<bool> Connection::Write(std::string_view bytes) {
  stream_.ExpiresAfter(state_.options.write_timeout);
  const error_code error = co_await stream_.Write(bytes);
  co_return !error;
}

}  // namespace quantfleet::http
