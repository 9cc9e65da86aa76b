#include "pipeline/format/onnx/spelled_lookup.h"

#include "onnx/onnx.pb.h"
#include "pipeline/format/onnx/onnx_data.h"

namespace quantfleet::pipeline {
namespace {

class Spelling {
 public:
  Spelling(const PackedEmbedding& of, DType float_type, OnnxGraph& graph)
      : of_(of), float_(float_type), graph_(graph) {}

  std::string Run() {
    const int64_t groups = of_.cols / of_.group;
    const std::string by_group = graph_.Vector("embedding/groups", {0, 0, groups, 1});
    const std::string codes = Floats("embedding/codes", Apart("embedding/code", Rows(of_.codes)),
                                     graph_.Vector("embedding/grouped", {0, 0, groups, of_.group}));
    const std::string zero =
        of_.zero_points.empty()
            ? graph_.Number("embedding/middle", of_.bits == 4 ? 8.f : 128.f, float_)
            : Floats("embedding/points", Points(groups), by_group);
    const std::string scales =
        graph_.Node("Reshape", "embedding/scales", {Rows(of_.scales), by_group});
    const std::string decoded =
        graph_.Node("Mul", "embedding/decoded",
                    {graph_.Node("Sub", "embedding/around_zero", {codes, zero}), scales});
    return graph_.Node("Reshape", "embedding",
                       {decoded, graph_.Vector("embedding/whole", {0, 0, of_.cols})});
  }

 private:
  std::string Rows(const std::string& stored) {
    return graph_.Node("Gather", stored + "/rows", {stored, "input_ids"}, {{"axis", int64_t{0}}});
  }

  std::string Floats(const std::string& name, const std::string& values, const std::string& shape) {
    const std::string shaped = graph_.Node("Reshape", name + "/shaped", {values, shape});
    return graph_.Node("Cast", name, {shaped}, {{"to", int64_t{OnnxType(float_, Part::kBlocks)}}});
  }

  // Two of a byte, the lower one first: [batch, step, bytes] becomes [batch, step, bytes, 2].
  std::string Apart(const std::string& name, const std::string& bytes) {
    if (of_.bits == 8) return bytes;
    const auto byte = [&](const char* what, int64_t value) {
      return graph_.Scalar(name + what, onnx::TensorProto::UINT8, value);
    };
    const std::string last = graph_.Vector(name + "/last", {-1});
    const auto column = [&](const std::string& half) {
      return graph_.Node("Unsqueeze", half + "/column", {half, last});
    };
    const std::string lower =
        graph_.Node("BitwiseAnd", name + "/lower", {bytes, byte("/mask", 15)});
    const std::string upper = graph_.Node("BitShift", name + "/upper", {bytes, byte("/four", 4)},
                                          {{"direction", std::string("RIGHT")}});
    return graph_.Node("Concat", name + "/pairs", {column(lower), column(upper)},
                       {{"axis", int64_t{-1}}});
  }

  // Of an odd number of groups the last byte has one.
  std::string Points(int64_t groups) {
    const std::string points = Apart("embedding/point", Rows(of_.zero_points));
    if (of_.bits == 8 || groups % 2 == 0) return points;
    const std::string row =
        graph_.Node("Reshape", "embedding/point/row",
                    {points, graph_.Vector("embedding/point/even", {0, 0, -1})});
    return graph_.Node("Slice", "embedding/point/own",
                       {row, graph_.Vector("embedding/point/begin", {0}),
                        graph_.Vector("embedding/point/end", {groups}),
                        graph_.Vector("embedding/point/axis", {2})});
  }

  const PackedEmbedding& of_;
  const DType float_;
  OnnxGraph& graph_;
};

}  // namespace

std::string SpelledLookup(const PackedEmbedding& of, DType float_type, OnnxGraph& graph) {
  return Spelling(of, float_type, graph).Run();
}

}  // namespace quantfleet::pipeline
