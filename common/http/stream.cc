#include <array>
#include <boost/asio/write.hpp>

#include "common/http/stream_asio.h"

namespace quantfleet::http {
namespace {

constexpr size_t kReadBytes = 64 << 10, kMaxLingerBytes = 8 << 20;

}  // namespace

Stream::Stream(Socket socket, asio::ssl::context* tls) : plain_(std::move(socket)) {
  if (tls) tls_.emplace(plain_, *tls);
}

asio::awaitable<error_code> Stream::Handshake(asio::ssl::stream_base::handshake_type side) {
  if (!tls_) co_return error_code();
  auto [error] = co_await tls_->async_handshake(side, kTuple);
  co_return error;
}

asio::awaitable<error_code> Stream::Read(beast::flat_buffer& buffer) {
  // Little at first, as long as little came: an idle connection holds no memory.
  const size_t room = beast::read_size(buffer, kReadBytes);
  if (room == 0) co_return beast::http::error::buffer_overflow;
  const auto into = buffer.prepare(room);
  if (tls_) {
    auto [error, size] = co_await tls_->async_read_some(into, kTuple);
    buffer.commit(size);
    co_return error;
  }
  auto [error, size] = co_await plain_.async_read_some(into, kTuple);
  buffer.commit(size);
  co_return error;
}

asio::awaitable<error_code> Stream::Write(std::string_view bytes) {
  const auto all = asio::buffer(bytes.data(), bytes.size());
  if (tls_) {
    auto [error, size] = co_await asio::async_write(*tls_, all, kTuple);
    (void)size;
    co_return error;
  }
  auto [error, size] = co_await asio::async_write(plain_, all, kTuple);
  (void)size;
  co_return error;
}

asio::awaitable<void> Stream::End(bool answered) {
  plain_.expires_after(kLinger);
  error_code error;
  if (tls_) {
    co_await tls_->async_shutdown(kTuple);
    co_return;
  }
  plain_.socket().shutdown(Socket::shutdown_send, error);
  if (!answered) co_return;
  std::array<char, 16 << 10> sink;
  for (size_t read = 0; !error && read < kMaxLingerBytes;) {
    size_t size = 0;
    std::tie(error, size) = co_await plain_.async_read_some(asio::buffer(sink), kTuple);
    read += size;
  }
}

}  // namespace quantfleet::http
