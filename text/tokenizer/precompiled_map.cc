#include "text/tokenizer/precompiled_map.h"

#include <cstring>

#include "common/base/utf8.h"
#include "text/unicode/forms.h"

namespace quantfleet::text {
namespace {

constexpr size_t kMaxBytes = size_t{16} << 20;
// A cluster of characters this long is looked up by its characters only.
constexpr size_t kLongCluster = 6;

// A unit of the double array, as Darts packs it.
bool HasLeaf(uint32_t unit) { return (unit >> 8 & 1) == 1; }
uint32_t Value(uint32_t unit) { return unit & 0x7fffffff; }
uint32_t Label(uint32_t unit) { return unit & 0x800000ff; }
uint32_t Offset(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

int Sextet(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

absl::StatusOr<std::string> FromBase64(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const int value = Sextet(c);
    if (value < 0) return InvalidArgument("it is not base64");
    bits = bits << 6 | static_cast<uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out += static_cast<char>(bits >> held & 0xff);
  }
  return out;
}

}  // namespace

absl::StatusOr<PrecompiledMap> PrecompiledMap::Create(std::string_view base64) {
  if (base64.size() > kMaxBytes)
    return InvalidArgument("it has {} bytes; the maximum is {}", base64.size(), kMaxBytes);
  QF_ASSIGN_OR_RETURN(const std::string bytes, FromBase64(base64));
  uint32_t length = 0;
  if (bytes.size() >= sizeof length) std::memcpy(&length, bytes.data(), sizeof length);
  if (length == 0 || length % sizeof(uint32_t) != 0 || length > bytes.size() - sizeof length)
    return InvalidArgument("its table does not fit into its {} bytes", bytes.size());
  PrecompiledMap map;
  map.units_.resize(length / sizeof(uint32_t));
  std::memcpy(map.units_.data(), bytes.data() + sizeof length, length);
  map.replacements_ = bytes.substr(sizeof length + length);
  return map;
}

std::optional<std::string_view> PrecompiledMap::Find(std::string_view text) const {
  size_t at = Offset(units_[0]);
  for (const char c : text) {
    if (c == 0) break;
    at ^= static_cast<uint8_t>(c);
    if (at >= units_.size() || Label(units_[at]) != static_cast<uint8_t>(c)) break;
    const bool leaf = HasLeaf(units_[at]);
    at ^= Offset(units_[at]);
    if (!leaf) continue;
    if (at >= units_.size()) break;
    const size_t begin = Value(units_[at]);
    if (begin >= replacements_.size()) break;
    const std::string_view rest = std::string_view(replacements_).substr(begin);
    return rest.substr(0, rest.find('\0'));
  }
  return std::nullopt;
}

bool PrecompiledMap::Apply(std::string& text, size_t most) const {
  std::string out;
  out.reserve(text.size());
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view cluster = rest.substr(0, FirstGraphemeLength(rest));
    rest.remove_prefix(cluster.size());
    if (out.size() > most) return false;
    if (cluster.size() < kLongCluster) {
      if (const auto whole = Find(cluster)) {
        out += *whole;
        continue;
      }
    }
    while (!cluster.empty() && out.size() <= most) {
      const std::string_view one = cluster.substr(0, FirstCharacter(cluster).length);
      out += Find(one).value_or(one);
      cluster.remove_prefix(one.size());
    }
  }
  text = std::move(out);
  return true;
}

}  // namespace quantfleet::text
