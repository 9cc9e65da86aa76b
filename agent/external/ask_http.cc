#include "agent/external/ask_http.h"

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "agent/serve/listen_socket.h"
#include "common/net/http_text.h"

namespace quantfleet::agent {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Protocol = asio::generic::stream_protocol;

constexpr uint64_t kMaxBodyBytes = 1 << 20;

std::string RequestText(const std::string& path, const std::string& json) {
  http::request<http::empty_body> head(json.empty() ? http::verb::get : http::verb::post, path, 11);
  head.set(http::field::host, "localhost");
  if (!json.empty()) {
    head.set(http::field::content_type, "application/json");
    head.content_length(json.size());
  }
  head.keep_alive(false);
  return net::HttpText(head.base()) + json;
}

// Three steps, each begun by the one before it.
struct Question {
  explicit Question(asio::io_context& io) : socket(io) { parser.body_limit(kMaxBodyBytes); }

  void Begin(const Protocol::endpoint& at) {
    socket.async_connect(at, [this](error_code failed) {
      if (Ended(failed)) return;
      asio::async_write(socket, asio::buffer(text), [this](error_code unsent, size_t) {
        if (Ended(unsent)) return;
        http::async_read(socket, buffer, parser, [this](error_code unread, size_t) {
          Ended(unread);
          done = true;
        });
      });
    });
  }
  bool Ended(error_code with) {
    error = with;
    done = done || error;
    return done;
  }

  Protocol::socket socket;
  std::string text;
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  error_code error;
  bool done = false;
};

}  // namespace

absl::StatusOr<HttpAnswer> AskHttp(const std::string& address, const std::string& path,
                                   const std::string& json, Duration most, std::stop_token stop) {
  QF_ASSIGN_OR_RETURN(const ListenAddress parsed, ParseListenAddress(address));
  const SocketAddress at = ToSocketAddress(parsed);
  asio::io_context io(1);
  Question question(io);
  question.text = RequestText(path, json);
  question.Begin(Protocol::endpoint(&at.at, at.size));
  {
    const std::stop_callback on_stop(stop, [&io] { io.stop(); });
    io.run_for(most);
  }
  if (stop.stop_requested()) return Cancelled("stopping");
  if (!question.done)
    return DeadlineExceeded("{} did not answer {} within {} ms", address, path, most.count());
  if (question.error)
    return Unavailable("{} does not answer {}: {}", address, path, question.error.message());
  return HttpAnswer{static_cast<int>(question.parser.get().result_int()),
                    std::move(question.parser.get().body())};
}

}  // namespace quantfleet::agent
