// The constants of a graph beside its weights: each value once in the .bin, whoever reads
// it. Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/format/openvino/ir_graph.h"

namespace quantfleet::pipeline {

class IrConstants {
 public:
  // They begin at byte `begin` of the .bin, which is a multiple of eight. `graph` has to outlive
  // this.
  IrConstants(IrGraph& graph, uint64_t begin) : graph_(graph), begin_(begin) {}

  IrValue Integer(int64_t value) { return Integers({}, {value}); }
  IrValue Vector(const std::vector<int64_t>& values) {
    return Integers({static_cast<int64_t>(values.size())}, values);
  }
  IrValue True();
  // One number of so many dimensions, all 1.
  IrValue Float(float value, size_t dims);
  IrValue Floats(const IrShape& shape, const std::vector<float>& values);

  IrValue Small(int32_t value) { return Smalls({}, {value}); }
  IrValue SmallVector(const std::vector<int32_t>& values) {
    return Smalls({static_cast<int64_t>(values.size())}, values);
  }
  // Not empty.
  IrValue Bytes(std::string_view bytes);

  // What lies in the .bin from `begin` on.
  std::string TakeBytes() { return std::move(bytes_); }

 private:
  IrValue Integers(const IrShape& shape, const std::vector<int64_t>& values);
  IrValue Smalls(const IrShape& shape, const std::vector<int32_t>& values);
  IrValue Stored(IrType type, const IrShape& shape, std::string bytes);

  IrGraph& graph_;
  const uint64_t begin_;
  std::string bytes_;
  std::map<std::string, IrValue> known_;  // by type, shape and bytes
};

}  // namespace quantfleet::pipeline
