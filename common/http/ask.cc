#include "common/http/ask.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "common/http/client_connection_asio.h"
#include "common/http/message.h"

namespace quantfleet::http {
namespace {

constexpr uint64_t kMaxAnswerBytes = 1 << 20;

asio::awaitable<error_code> AskOnce(ClientConnection& connection, SocketAddress at,
                                    std::string request, HttpAnswer& answer) {
  std::vector<Protocol::endpoint> to;
  to.emplace_back(&at.at, at.size);
  error_code error = co_await connection.Connect(std::move(to), std::nullopt);
  if (!error) error = co_await connection.Ask(request, std::nullopt);
  if (error) co_return error;
  answer.status = static_cast<int>(connection.answer().get().result_int());
  std::string piece(16 << 10, '\0');
  for (size_t size = 1; size > 0 && !error;) {
    error = co_await connection.Next(piece, size, std::nullopt);
    answer.body.append(piece, 0, size);
    if (answer.body.size() > kMaxAnswerBytes) co_return beast::http::error::body_limit;
  }
  co_return error;
}

}  // namespace

absl::StatusOr<HttpAnswer> Ask(const ListenAddress& address, const std::string& shown,
                               const std::string& path, const std::string& json, Duration most,
                               std::stop_token stop) {
  Fields fields = {{"Host", "localhost"}};
  if (!json.empty()) {
    fields.emplace_back("Content-Type", "application/json");
    fields.emplace_back("Content-Length", std::to_string(json.size()));
  }
  fields.emplace_back("Connection", "close");
  const std::string request = RequestText(json.empty() ? "GET" : "POST", path, fields, json);
  HttpAnswer answer;
  std::optional<error_code> ended;
  asio::io_context io(1);
  ClientConnection connection(io.get_executor(), nullptr);
  asio::co_spawn(io, AskOnce(connection, ToSocketAddress(address), request, answer),
                 [&ended](std::exception_ptr thrown, error_code error) {
                   ended = thrown ? asio::error::operation_aborted : error;
                 });
  {
    const std::stop_callback on_stop(stop, [&io] { io.stop(); });
    io.run_for(most);
  }
  if (stop.stop_requested()) return Cancelled("stopping");
  if (!ended)
    return DeadlineExceeded("{} did not answer {} within {} ms", shown, path, most.count());
  if (*ended) return Unavailable("{} failed to answer {}: {}", shown, path, ended->message());
  return answer;
}

}  // namespace quantfleet::http
