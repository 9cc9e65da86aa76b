#include "common/http/message.h"

#include <algorithm>
#include <boost/beast/http/status.hpp>
#include <cctype>

namespace quantfleet::http {
namespace {

bool SameName(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string WithFields(std::string start, const Fields& fields) {
  for (const auto& [name, value] : fields) start += fmt::format("{}: {}\r\n", name, value);
  start += "\r\n";
  return start;
}

}  // namespace

std::string_view Request::Field(std::string_view name) const {
  const auto found = std::ranges::find_if(
      fields, [name](const auto& field) { return SameName(field.first, name); });
  return found == fields.end() ? std::string_view() : found->second;
}

std::string_view Request::path() const {
  const std::string_view all = target;
  return all.substr(0, all.find('?'));
}

void ToOriginForm(Request& request) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!SameName(std::string_view(request.target).substr(0, scheme.size()), scheme)) continue;
    const std::string rest = request.target.substr(scheme.size());
    const size_t end = std::min(rest.find_first_of("/?"), rest.size());
    std::erase_if(request.fields, [](const auto& field) { return SameName(field.first, "Host"); });
    request.fields.emplace_back("Host", rest.substr(0, end));
    request.target = rest.substr(end);
    if (!request.target.starts_with('/')) request.target.insert(0, "/");
    return;
  }
}

std::string RequestText(std::string_view method, std::string_view target, const Fields& fields,
                        std::string_view body) {
  std::string text = WithFields(fmt::format("{} {} HTTP/1.1\r\n", method, target), fields);
  text += body;
  return text;
}

std::string ResponseHead(int status, unsigned version, const Fields& fields) {
  namespace beast = boost::beast::http;
  const auto reason = beast::obsolete_reason(beast::int_to_status(static_cast<unsigned>(status)));
  return WithFields(fmt::format("HTTP/{}.{} {} {}\r\n", version / 10, version % 10, status,
                                std::string_view(reason.data(), reason.size())),
                    fields);
}

std::string Chunk(std::string_view bytes) {
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

}  // namespace quantfleet::http
