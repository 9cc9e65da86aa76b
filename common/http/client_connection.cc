#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "common/http/client_connection_asio.h"

namespace quantfleet::http {
namespace {

constexpr size_t kBufferBytes = 64 << 10;
constexpr uint32_t kMaxHeadBytes = 16 << 10;

}  // namespace

ClientConnection::ClientConnection(const asio::any_io_executor& executor, asio::ssl::context* tls)
    : stream_(Socket(executor), tls) {}

void ClientConnection::SetTimeout(Timeout timeout) {
  if (timeout)
    stream_.ExpiresAfter(*timeout);
  else
    stream_.ExpiresNever();
}

asio::awaitable<error_code> ClientConnection::Connect(std::vector<Protocol::endpoint> to,
                                                      Timeout timeout) {
  SetTimeout(timeout);
  auto [error, at] = co_await stream_.plain().async_connect(to, kTuple);
  error_code ignored;  // a unix socket has no such option
  if (!error) stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  co_return error;
}

asio::awaitable<error_code> ClientConnection::Handshake(Timeout timeout) {
  SetTimeout(timeout);
  co_return co_await stream_.Handshake(asio::ssl::stream_base::client);
}

asio::awaitable<error_code> ClientConnection::Ask(std::string_view request, Timeout timeout) {
  parser_.emplace();
  parser_->body_limit(boost::none);  // counted by the caller
  parser_->header_limit(kMaxHeadBytes);
  buffer_.reserve(kBufferBytes);
  SetTimeout(timeout);
  error_code error = co_await stream_.Write(request);
  if (error) co_return error;
  SetTimeout(timeout);
  // Named, as everything that a coroutine is given: g++ 12 destroys what is made in a call twice.
  const std::function<bool()> done = [this] { return parser_->is_header_done(); };
  co_return co_await Feed(stream_, buffer_, *parser_, done);
}

asio::awaitable<error_code> ClientConnection::Next(std::span<char> into, size_t& size,
                                                   Timeout timeout) {
  auto& body = parser_->get().body();
  body.data = into.data();
  body.size = into.size();
  body.more = true;
  parser_->eager(true);
  SetTimeout(timeout);
  const std::function<bool()> done = [this, &body, into] {
    return body.size < into.size() || parser_->is_done();
  };
  error_code error = co_await Feed(stream_, buffer_, *parser_, done);
  if (error == beast::http::error::need_buffer) error = {};
  size = into.size() - body.size;
  co_return error;
}

}  // namespace quantfleet::http
