#include "engine/measure/row_error_file.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "pipeline/tensor/traits.h"

namespace quantfleet::engine {
namespace {

namespace json = boost::json;

// Far more than a model of many experts has.
constexpr uint64_t kMaxRowErrorBytes = uint64_t{256} << 20;

}  // namespace

Digest RowErrorOrigin::digest() const {
  return HashText(fmt::format("1 {} {} {} {}", source.hex(), statistics.hex(), rounding, rows));
}

absl::StatusOr<RowErrors> ReadRowErrors(FileSystem& files, const fs::path& path,
                                        const RowErrorOrigin& origin, size_t pieces) {
  RowErrors errors(pieces);
  if (!files.Exists(path)) return errors;
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(path, kMaxRowErrorBytes));
  boost::system::error_code error;
  const json::value parsed = json::parse(text, error);
  const json::object* root = parsed.if_object();
  if (root == nullptr) return errors;
  const json::value *digest = root->if_contains("origin_digest"),
                    *list = root->if_contains("errors");
  if (digest == nullptr || !digest->is_string() || list == nullptr || !list->is_array() ||
      std::string_view(digest->get_string()) != origin.digest().hex())
    return errors;
  const json::array& found = list->get_array();
  for (size_t p = 0; p < std::min(pieces, found.size()); ++p) {
    const json::object* of_piece = found[p].if_object();
    if (of_piece == nullptr) continue;
    for (const auto& [name, value] : *of_piece) {
      const auto type = pipeline::DTypeFromName(name);
      if (!type.ok() || !value.is_number()) continue;
      const auto number = value.to_number<double>();
      if (std::isfinite(number) && number >= 0) errors[p][*type] = number;
    }
  }
  return errors;
}

absl::Status WriteRowErrors(FileSystem& files, const fs::path& path, const RowErrorOrigin& origin,
                            const RowErrors& errors) {
  json::array list;
  for (const std::map<pipeline::DType, double>& of_piece : errors) {
    json::object types;
    for (const auto& [type, error] : of_piece) types[pipeline::Info(type).name] = error;
    list.push_back(std::move(types));
  }
  const json::object root{{"source_digest", origin.source.hex()},
                          {"statistics_digest", origin.statistics.hex()},
                          {"rounding", origin.rounding},
                          {"rows", origin.rows},
                          {"origin_digest", origin.digest().hex()},
                          {"errors", list}};
  return files.WriteAtomically(path, AsBytes(json::serialize(root) + "\n"));
}

}  // namespace quantfleet::engine
