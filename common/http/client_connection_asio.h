// The client's side of one connection: a request, the head of its answer, its body piece by piece.
// For this folder's .cc files alone.
#pragma once

#include <span>
#include <vector>

#include "common/http/stream_asio.h"

namespace quantfleet::http {

// Belongs to the coroutine that uses it; not thread-safe.
class ClientConnection {
 public:
  using Timeout = std::optional<std::chrono::milliseconds>;  // nullopt: none
  using Parser = beast::http::response_parser<beast::http::buffer_body>;

  ClientConnection(const asio::any_io_executor& executor, asio::ssl::context* tls);

  // Connects to the first address that accepts.
  asio::awaitable<error_code> Connect(std::vector<Protocol::endpoint> to, Timeout timeout);
  asio::awaitable<error_code> Handshake(Timeout timeout);
  // Sends a request as it goes over the wire, and reads the answer's head. Whatever is left of an
  // earlier answer must be read first.
  asio::awaitable<error_code> Ask(std::string_view request, Timeout timeout);
  // Up to `size` bytes of the body; none at its end.
  asio::awaitable<error_code> Next(std::span<char> into, size_t& size, Timeout timeout);

  // For the last Ask.
  Parser& answer() { return *parser_; }
  Stream& stream() { return stream_; }

 private:
  void SetTimeout(Timeout timeout);

  Stream stream_;
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
};

}  // namespace quantfleet::http
