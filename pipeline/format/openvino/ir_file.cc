#include "pipeline/format/openvino/ir_file.h"

#include <charconv>
#include <optional>
#include <pugixml.hpp>

#include "common/base/bytes.h"
#include "common/base/outside_text.h"

namespace quantfleet::pipeline {
namespace {

constexpr size_t kMaxDims = 8, kMaxLayers = 1 << 18;
constexpr std::string_view kDoctype = "<!DOCTYPE";

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// "64, 8, 32"; empty: a scalar.
std::optional<std::vector<int64_t>> Shape(std::string_view text) {
  std::vector<int64_t> shape;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::optional<uint64_t> dim = Number(text.substr(0, comma));
    if (!dim || *dim > static_cast<uint64_t>(INT64_MAX) || shape.size() == kMaxDims)
      return std::nullopt;
    shape.push_back(static_cast<int64_t>(*dim));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
    if (text.starts_with(' ')) text.remove_prefix(1);
    if (text.empty()) return std::nullopt;  // nothing behind the comma
  }
  return shape;
}

// 0: not a type whose values have a fixed size.
uint64_t BitsOf(std::string_view type) {
  if (type == "boolean") return 8;
  if (type == "bf16") return 16;
  if (type.size() < 2 || (type[0] != 'f' && type[0] != 'i' && type[0] != 'u')) return 0;
  const std::optional<uint64_t> bits = Number(type.substr(1));
  const bool known =
      bits && (*bits == 4 || *bits == 8 || *bits == 16 || *bits == 32 || *bits == 64);
  return known && (type[0] != 'f' || *bits >= 16) ? *bits : 0;
}

std::optional<uint64_t> BytesOf(std::string_view type, const std::vector<int64_t>& shape) {
  std::optional<uint64_t> bits = BitsOf(type);
  if (*bits == 0) return std::nullopt;
  for (const int64_t dim : shape)
    if (bits) bits = CheckedMul(*bits, static_cast<uint64_t>(dim));
  if (bits) bits = CheckedAdd(*bits, 7);
  return bits ? std::optional(*bits / 8) : std::nullopt;
}

absl::StatusOr<IrConstant> ReadConstant(const pugi::xml_node& layer, std::string_view file,
                                        uint64_t bin_bytes) {
  const pugi::xml_node data = layer.child("data");
  IrConstant constant{
      layer.attribute("name").value(), data.attribute("element_type").value(), {}, 0, 0};
  const auto bad = [&](std::string_view what) {
    return DataLoss("{}: constant '{}': {}; download the artifact again", file,
                    Shown(constant.name, 128), what);
  };
  auto shape = Shape(data.attribute("shape").value());
  if (!shape) return bad("its shape is not a list of sizes");
  constant.shape = *std::move(shape);
  const std::optional<uint64_t> offset = Number(data.attribute("offset").value()),
                                size = Number(data.attribute("size").value());
  if (!offset || !size) return bad("offset or size is not a number");
  constant.offset = *offset;
  constant.size = *size;
  const std::optional<uint64_t> want = BytesOf(constant.type, constant.shape);
  if (!want) return bad("its element type is not known, or its shape is too large");
  if (*want != *size)
    return bad(fmt::format("its shape needs {} bytes, but it has {}", *want, *size));
  const std::optional<uint64_t> end = CheckedAdd(*offset, *size);
  if (!end || *end > bin_bytes)
    return bad(fmt::format("it is outside the {} bytes of the .bin file", bin_bytes));
  return constant;
}

}  // namespace

absl::StatusOr<std::vector<IrConstant>> ReadIrConstants(std::string_view xml, std::string_view name,
                                                        uint64_t bin_bytes) {
  if (xml.size() > kMaxIrBytes)
    return DataLoss("{} exceeds {}: it is not a model's graph", name, HumanBytes(kMaxIrBytes));
  // Nothing would be expanded; but no writer of such files makes one.
  if (xml.find(kDoctype) != std::string_view::npos)
    return DataLoss("{} has a document type declaration, which OpenVINO models never have", name);
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = document.load_buffer(
      xml.data(), xml.size(), pugi::parse_minimal | pugi::parse_escapes, pugi::encoding_utf8);
  if (!parsed)
    return DataLoss("{} is not XML at byte {}: {}", name, parsed.offset, parsed.description());
  const pugi::xml_node net = document.child("net");
  if (std::string_view(net.attribute("version").value()) != "11")
    return DataLoss("{} is not an OpenVINO model of version 11", name);
  std::vector<IrConstant> constants;
  size_t layers = 0;
  for (const pugi::xml_node layer : net.child("layers").children("layer")) {
    if (++layers > kMaxLayers) return DataLoss("{} has more than {} layers", name, kMaxLayers);
    if (std::string_view(layer.attribute("type").value()) != "Const") continue;
    QF_ASSIGN_OR_RETURN(IrConstant constant, ReadConstant(layer, name, bin_bytes));
    constants.push_back(std::move(constant));
  }
  return constants;
}

}  // namespace quantfleet::pipeline
