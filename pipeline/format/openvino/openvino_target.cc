#include "pipeline/format/openvino/openvino_target.h"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>

#include "common/base/json.h"
#include "pipeline/family/validate.h"
#include "pipeline/format/layout/config_json.h"
#include "pipeline/format/layout/data_file.h"
#include "pipeline/format/layout/embedding_files.h"
#include "pipeline/format/layout/generation.h"
#include "pipeline/format/openvino/openvino_decoder.h"
#include "pipeline/format/openvino/openvino_encoder.h"
#include "pipeline/format/openvino/openvino_stored.h"
#include "pipeline/format/openvino/openvino_tokenizer.h"
#include "pipeline/model/memory_terms.h"
#include "pipeline/model/tokenizer_files.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

// A line of the cache, and more than any element: the file is mapped and read in place.
constexpr uint64_t kAlignment = 64;

// A constant of 4 bits is packed without regard to rows, but a piece of it has to begin with a
// byte.
bool PacksZeroPoints(const ModelDescription& model, const OutputTensor& tensor, DType dtype) {
  return !HasPart(dtype, Part::kPointStream) || std::ranges::all_of(tensor.pieces, [&](uint32_t p) {
    const Piece& piece = model.pieces[p];
    return piece.rows * PartRowBits(Part::kPointStream, dtype, piece.cols) % 8 == 0;
  });
}

absl::StatusOr<DType> TypeOf(const ModelDescription& model, const Recipe& recipe,
                             const OutputTensor& tensor, std::vector<TypeFallback>& fallbacks) {
  if (tensor.dims == 1 || tensor.Seen().Has(Role::kFfnRouter)) return DType::kF32;
  const DType asked = recipe.AskedFor(model, tensor.Seen(), false);
  if (asked == DType::kF32 || asked == DType::kF16) return asked;
  if (Info(asked).family == SchemeFamily::kRow ||
      (!HasPart(asked, Part::kSignedCodes) && !HasPart(asked, Part::kZeroPoints)))
    return InvalidArgument(
        "tensor '{}': openvino supports f32, f16, q8_0, q4_0 and groups that are symmetric or have "
        "a zero point (i4_g128, u4_g128), not {}: use one of them (--tensor-type role:{}=q8_0)",
        tensor.name, Info(asked).name, Name(tensor.roles.front()));
  const auto holds = [&](DType type) {
    const bool wide_enough = CodeBits(type) != 4 || Info(type).block_elements >= recipe.least_group;
    return wide_enough && PacksZeroPoints(model, tensor, type);
  };
  return FittingType(tensor, asked, fallbacks, holds);
}

// The same scheme with 8 bits; q8_0 where the type is of no scheme that has one.
DType WithEightBits(DType type) {
  std::optional<GroupScheme> scheme = GroupSchemeOf(type);
  if (!scheme) return DType::kQ8_0;
  scheme->bits = 8;
  return GroupType(*scheme);
}

// Tokens that the file describes as objects (Llama 2, Mistral) become their text: OpenVINO GenAI
// does not open the folder otherwise. A file without any stays as it is.
absl::Status NameTokensByText(Attachment& config) {
  QF_ASSIGN_OR_RETURN(json::object members, ParseJsonObject(config.content, config.name));
  bool changed = false;
  for (auto& [key, value] : members) {
    const json::object* token = key.ends_with("_token") ? value.if_object() : nullptr;
    const json::value* content = token ? token->if_contains("content") : nullptr;
    if (!content || !content->is_string()) continue;
    value = json::value(*content);  // a copy: it is a part of what it replaces
    changed = true;
  }
  if (changed) config.content = json::serialize(members) + "\n";
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Attachment>> DecoderFiles(const ModelSource& source,
                                                     const json::object& config) {
  QF_ASSIGN_OR_RETURN(std::vector<Attachment> small, TokenizerFilesFor(source, "OpenVINO"));
  small.push_back({"config.json", json::serialize(config) + "\n"});
  QF_RETURN_IF_ERROR(AddGenerationConfig(source.description(), small));
  std::ranges::copy(source.attachments(), std::back_inserter(small));
  return small;
}

absl::StatusOr<std::vector<Attachment>> SmallFiles(const ModelSource& source) {
  json::object config = ConfigJson(source.description(), "float32");
  QF_ASSIGN_OR_RETURN(std::vector<Attachment> small,
                      source.description().embedding
                          ? EmbeddingFiles(source, "OpenVINO", std::move(config))
                          : DecoderFiles(source, config));
  for (Attachment& file : small)
    if (file.name == "tokenizer_config.json") QF_RETURN_IF_ERROR(NameTokensByText(file));
  return small;
}

// Adds the tokenizer's graphs, or says why there are none: they would lead to other ids.
std::vector<std::string> AddTokenizer(const ModelDescription& model,
                                      std::vector<Attachment>& small) {
  absl::StatusOr<std::vector<Attachment>> made = OpenVinoTokenizerFiles(model, small);
  if (!made.ok())
    return {fmt::format(
        "OpenVINO's operations cannot make the same ids as this tokenizer, so its tokenizer files "
        "are left out ({}). OpenVINO GenAI needs them: make them with 'convert_tokenizer FOLDER "
        "{}-o FOLDER' (pip install openvino-tokenizers[transformers]), and compare its ids before "
        "you rely on them",
        Message(made.status()), model.embedding ? "" : "--with-detokenizer ")};
  std::ranges::move(*made, std::back_inserter(small));
  return {};
}

// How plugins are to run a decoder, as optimum-intel says it. They heed it where the caller says
// nothing: activations are divided by the factor where F16 could not hold them, and the cache of a
// model that is not quantized stays at half precision.
IrGraph::Attributes RuntimeOptions(const ModelDescription& model,
                                   const std::vector<OpenVinoTensor>& tensors) {
  IrGraph::Attributes options;
  if (model.embedding) return options;
  options.emplace_back("runtime_options/ACTIVATIONS_SCALE_FACTOR", "8.0");
  if (std::ranges::all_of(tensors, [](const OpenVinoTensor& t) { return IsFloat(t.dtype); }))
    options.emplace_back("runtime_options/KV_CACHE_PRECISION", "f16");
  return options;
}

// Weights, then small constants, go into `data`; returns the XML that points there.
std::string BuildGraph(const ModelDescription& model, const std::vector<OpenVinoTensor>& tensors,
                       DataFile& data) {
  IrGraph graph;
  OpenVinoWeights weights(model, tensors, graph, data);
  IrConstants constants(graph, data.size());  // behind the weights
  const bool encodes = model.family->encoder;
  (encodes ? BuildOpenVinoEncoder : BuildOpenVinoDecoder)(model, graph, weights, constants);
  data.AddBytes(constants.TakeBytes());
  return graph.Xml(encodes ? "encoder" : "decoder", RuntimeOptions(model, tensors));
}

}  // namespace

absl::StatusOr<TargetLayout> PlanOpenVino(const ModelSource& source, const Recipe& recipe) {
  const ModelDescription& model = source.description();
  QF_RETURN_IF_ERROR(Validate(model));
  Recipe ours = recipe;
  // As NNCF has it: rows of an embedding are looked up and not multiplied, so 4 bits save little
  // time.
  if (!IsFloat(recipe.body)) ours.embedding = WithEightBits(recipe.body);
  std::vector<OpenVinoTensor> tensors;
  std::vector<TypeFallback> fallbacks;
  const auto name = [&](Role role, int layer, int) {
    return OpenVinoName(*model.family, role, layer);
  };
  for (OutputTensor& tensor : FusePieces(model, name)) {
    QF_ASSIGN_OR_RETURN(const DType dtype, TypeOf(model, ours, tensor, fallbacks));
    tensors.push_back({std::move(tensor), dtype});
  }
  QF_ASSIGN_OR_RETURN(std::vector<Attachment> small, SmallFiles(source));
  std::vector<std::string> notes = AddTokenizer(model, small);
  DataFile data(model, "openvino_model.bin", kAlignment);
  std::string xml = BuildGraph(model, tensors, data);
  std::vector<PlannedFile> files;
  files.push_back(data.Take());
  files.push_back(WholeFile("openvino_model.xml", std::move(xml)));
  v1::Memory memory = RuntimeMemory(model.hyper, WeightBytes(files), DType::kF32);
  QF_ASSIGN_OR_RETURN(TargetLayout layout,
                      Assemble(std::move(memory), std::move(files), small, std::move(fallbacks)));
  layout.notes = std::move(notes);
  return layout;
}

const TargetFormat kOpenVinoFormat = {
    .name = "openvino",
    .recipes = [] { return std::vector<std::string_view>{"fp16", "int8", "int4", "int4-npu"}; },
    .group_options = true,
    .graph_options = false,
    .plan = [](const ModelSource& source, const Recipe& recipe,
               const Calibration*) { return PlanOpenVino(source, recipe); },
    .wider_than_half = [](const Recipe&, const Piece& piece) { return KeepIn("f32", piece); },
    .stored =
        StoredWeights{
            .list = StoredOpenVinoTensors,
            .name_of = [](const ModelDescription& model, Role role, int layer,
                          int) { return OpenVinoName(*model.family, role, layer); },
            .cut = "",
            .codes = "",
            .scales = "/scale",
            .zeros = "/zero_point",
            .with_zeros = GroupZero::kPoint,
            .values = Dialect::kGguf,
            .unsigned_have_middle = false,
            .point_stream = true,
        },
};

}  // namespace quantfleet::pipeline
