#include "engine/measure/sensitivity_file.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

namespace quantfleet::engine {
namespace {

namespace json = boost::json;

constexpr uint64_t kMaxBytes = uint64_t{1} << 20;

std::optional<MeasuredCell> CellOf(const json::value& value) {
  const json::object* cell = value.if_object();
  if (cell == nullptr) return std::nullopt;
  const auto number = [&](std::string_view key) -> std::optional<int64_t> {
    const json::value* found = cell->if_contains(key);
    if (found == nullptr || !found->is_int64()) return std::nullopt;
    return found->get_int64();
  };
  const json::value *role = cell->if_contains("role"), *found = cell->if_contains("divergence");
  const auto first = number("first_layer"), end = number("end_layer");
  if (role == nullptr || !role->is_string() || found == nullptr || !found->is_number() || !first ||
      !end)
    return std::nullopt;
  const double divergence = found->to_number<double>();
  const std::string_view name = role->get_string();
  for (const pipeline::RoleInfo& info : pipeline::Roles())
    if (info.name == name && std::isfinite(divergence))
      return MeasuredCell{{info.role, static_cast<int>(*first), static_cast<int>(*end)},
                          divergence};
  return std::nullopt;
}

}  // namespace

Digest SensitivityOrigin::digest() const {
  return HashText(fmt::format("1 {} {} {} {} {} {} {}", source.hex(), statistics.hex(),
                              tokens.hex(), rounding, spoiled, chunk, judged));
}

absl::StatusOr<std::vector<MeasuredCell>> ReadSensitivities(FileSystem& files, const fs::path& path,
                                                            const SensitivityOrigin& origin) {
  std::vector<MeasuredCell> cells;
  if (!files.Exists(path)) return cells;
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(path, kMaxBytes));
  boost::system::error_code error;
  const json::value parsed = json::parse(text, error);
  const json::object* root = parsed.if_object();
  if (root == nullptr) return cells;
  const json::value *digest = root->if_contains("origin_digest"),
                    *list = root->if_contains("cells");
  if (digest == nullptr || !digest->is_string() || list == nullptr || !list->is_array() ||
      std::string_view(digest->get_string()) != origin.digest().hex())
    return cells;
  for (const json::value& value : list->get_array())
    if (const auto cell = CellOf(value)) cells.push_back(*cell);
  return cells;
}

absl::Status WriteSensitivities(FileSystem& files, const fs::path& path,
                                const SensitivityOrigin& origin,
                                const std::vector<MeasuredCell>& cells) {
  json::array list;
  for (const MeasuredCell& one : cells)
    list.push_back({{"role", Name(one.cell.role)},
                    {"first_layer", one.cell.first_layer},
                    {"end_layer", one.cell.end_layer},
                    {"divergence", one.divergence}});
  const json::object root{{"source_digest", origin.source.hex()},
                          {"statistics_digest", origin.statistics.hex()},
                          {"tokens_digest", origin.tokens.hex()},
                          {"rounding", origin.rounding},
                          {"spoiled_to", origin.spoiled},
                          {"chunk_size", origin.chunk},
                          {"compared_tokens", origin.judged},
                          {"origin_digest", origin.digest().hex()},
                          {"cells", list}};
  return files.WriteAtomically(path, AsBytes(json::serialize(root) + "\n"));
}

}  // namespace quantfleet::engine
