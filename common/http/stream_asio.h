// The bytes of one connection, over TCP or a unix socket, with TLS or without, for coroutines. For
// this folder's .cc files alone: Asio and Beast take long to compile.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string_view>

#include "common/http/listen_socket.h"

namespace quantfleet::http {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;
using Protocol = asio::generic::stream_protocol;  // TCP or unix
using Socket = Protocol::socket;

inline constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
inline constexpr auto kLinger = std::chrono::seconds(2);  // for the last bytes of a connection

// Belongs to the coroutine that uses it; not thread-safe.
class Stream {
 public:
  // `tls` null: plain. It outlives the stream.
  Stream(Socket socket, asio::ssl::context* tls);

  // For what follows, until it is set again. Whatever takes longer ends with beast::error::timeout.
  void ExpiresAfter(std::chrono::milliseconds time) { plain_.expires_after(time); }
  void ExpiresNever() { plain_.expires_never(); }

  // Does nothing without TLS.
  asio::awaitable<error_code> Handshake(asio::ssl::stream_base::handshake_type side);
  // Some bytes, added to the buffer. buffer_overflow: it is full.
  asio::awaitable<error_code> Read(beast::flat_buffer& buffer);
  asio::awaitable<error_code> Write(std::string_view bytes);
  // Signals that nothing more will be sent. With `answered`, what the client still sends is read
  // for a while: closing at once would reset the connection and lose the answer.
  asio::awaitable<void> End(bool answered);
  void Close() { plain_.close(); }

  beast::basic_stream<Protocol>& plain() { return plain_; }
  Socket& socket() { return plain_.socket(); }
  SSL* tls() { return tls_ ? tls_->native_handle() : nullptr; }

 private:
  beast::basic_stream<Protocol> plain_;
  std::optional<asio::ssl::stream<beast::basic_stream<Protocol>&>> tls_;
};

// Feeds what comes to a parser until `done()`. end_of_stream: the other side closed before the
// first byte of a message; partial_message: in the middle of one.
template <class Parser>
asio::awaitable<error_code> Feed(Stream& stream, beast::flat_buffer& buffer, Parser& parser,
                                 const std::function<bool()>& done) {
  while (!done()) {
    if (buffer.size() > 0) {
      error_code error;
      buffer.consume(parser.put(buffer.data(), error));
      if (error && error != beast::http::error::need_more) co_return error;
      if (!error) continue;
    }
    error_code error = co_await stream.Read(buffer);
    if (error == asio::error::eof) {
      if (!parser.got_some()) co_return beast::http::error::end_of_stream;
      error = {};
      parser.put_eof(error);
    }
    if (error) co_return error;
  }
  co_return error_code();
}

}  // namespace quantfleet::http
