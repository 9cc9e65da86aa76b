// A plain socket client, as blunt as a test needs it: bytes out, bytes in.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

#include "tests/support/eventually.h"

namespace quantfleet::testing {

class HttpClient {
 public:
  // endpoint "127.0.0.1:port" or "unix:PATH".
  explicit HttpClient(const std::string& endpoint) {
    const bool local = endpoint.starts_with("unix:");
    fd_ = ::socket(local ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    const timeval timeout{.tv_sec = kLongEnough.count(), .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (local) {
      sockaddr_un at{};
      at.sun_family = AF_UNIX;
      endpoint.substr(5).copy(at.sun_path, sizeof at.sun_path - 1);
      connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
      return;
    }
    sockaddr_in at{};
    at.sin_family = AF_INET;
    const size_t colon = endpoint.rfind(':');
    at.sin_port = htons(static_cast<uint16_t>(std::stoi(endpoint.substr(colon + 1))));
    ::inet_pton(AF_INET, endpoint.substr(0, colon).c_str(), &at.sin_addr);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
  }
  ~HttpClient() { Close(); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  bool connected() const { return connected_; }
  void Close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  void EndSending() { ::shutdown(fd_, SHUT_WR); }
  // Until `end` was read, or the server closed.
  std::string ReadUntil(std::string_view end) {
    char piece[4096];
    while (buffer_.find(end) == std::string::npos) {
      const ssize_t n = ::recv(fd_, piece, sizeof piece, 0);
      if (n <= 0) break;
      buffer_.append(piece, static_cast<size_t>(n));
    }
    const size_t at = buffer_.find(end);
    const size_t size = at == std::string::npos ? buffer_.size() : at + end.size();
    std::string text = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return text;
  }

  std::string ReadAll() { return ReadUntil("nothing ends it"); }

  struct Answer {
    int status = 0;
    std::string header, body;
  };
  Answer ReadAnswer() {
    Answer answer;
    answer.header = ReadUntil("\r\n\r\n");
    if (answer.header.size() > 12) answer.status = std::atoi(answer.header.c_str() + 9);
    const size_t at = answer.header.find("Content-Length: ");
    if (at == std::string::npos) return answer;
    const size_t size = std::stoul(answer.header.substr(at + 16));
    char piece[4096];
    while (buffer_.size() < size) {
      const ssize_t n = ::recv(fd_, piece, sizeof piece, 0);
      if (n <= 0) break;
      buffer_.append(piece, static_cast<size_t>(n));
    }
    answer.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return answer;
  }

  void SendPost(std::string_view path, std::string_view body, std::string_view version = "1.1") {
    Send("POST " + std::string(path) + " HTTP/" + std::string(version) +
         "\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
  }
  Answer Post(std::string_view path, std::string_view body) {
    SendPost(path, body);
    return ReadAnswer();
  }
  Answer Get(std::string_view path, std::string_view host = "127.0.0.1") {
    Send("GET " + std::string(path) + " HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n");
    return ReadAnswer();
  }

 private:
  int fd_ = -1;
  bool connected_ = false;
  std::string buffer_;
};

}  // namespace quantfleet::testing
