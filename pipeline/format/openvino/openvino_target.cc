#include "pipeline/format/openvino/openvino_target.h"

#include <algorithm>
#include <boost/json.hpp>

#include "pipeline/format/layout/data_file.h"
#include "pipeline/format/layout/hf_config.h"
#include "pipeline/format/openvino/openvino_decoder.h"
#include "pipeline/format/safetensors/hf_names.h"
#include "pipeline/model/tokenizer_files.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

constexpr std::string_view kGenerationConfig = "generation_config.json";
// A line of the cache, and more than any element: the file is mapped and read in place.
constexpr uint64_t kAlignment = 64;

absl::StatusOr<DType> TypeOf(const ModelDescription& model, const Recipe& recipe,
                             const OutputTensor& tensor) {
  if (tensor.dims == 1) return DType::kF32;
  const DType asked = recipe.AskedFor(model, tensor.Seen(), false);
  const std::string_view role = Name(tensor.roles.front());
  if (asked == DType::kF32 || asked == DType::kF16) return asked;
  if (!HasPart(asked, Part::kSignedCodes) || GroupSchemeOf(asked))
    return InvalidArgument(
        "tensor '{}': openvino holds f32, f16, q8_0 and q4_0, not {}: take one of them (--tensor-type "
        "role:{}=q8_0)",
        tensor.name, Info(asked).name, role);
  if (!Divides(asked, tensor.cols))
    return InvalidArgument(
        "tensor '{}': rows of {} do not divide into groups of {}; keep it at half precision "
        "(--tensor-type role:{}=f16) or take openvino:fp16",
        tensor.name, tensor.cols, Info(asked).block_elements, role);
  return asked;
}

// What generating wants to know of the tokens, where the source does not say it.
std::string GenerationConfig(const TokenizerData& tokenizer) {
  json::object config;
  const auto token = [&](const char* key, const std::optional<int32_t>& id) {
    if (id) config[key] = *id;
  };
  token("bos_token_id", tokenizer.bos);
  token("eos_token_id", tokenizer.eos);
  token("pad_token_id", tokenizer.padding);
  return json::serialize(config) + "\n";
}

absl::StatusOr<std::vector<Attachment>> SmallFiles(const ModelSource& source) {
  QF_ASSIGN_OR_RETURN(std::vector<Attachment> small, TokenizerFilesFor(source, "OpenVINO"));
  small.push_back({"config.json", json::serialize(HfConfig(source.description(), "float32")) + "\n"});
  std::ranges::copy(source.attachments(), std::back_inserter(small));
  if (std::ranges::find(small, kGenerationConfig, &Attachment::name) == small.end())
    small.push_back({std::string(kGenerationConfig), GenerationConfig(source.description().tokenizer)});
  return small;
}

}  // namespace

absl::StatusOr<TargetLayout> PlanOpenVino(const ModelSource& source, const Recipe& recipe) {
  const ModelDescription& model = source.description();
  QF_RETURN_IF_ERROR(Validate(model));
  Recipe ours = recipe;
  // As NNCF has it: rows of an embedding are looked up and not multiplied, so 4 bits save little time.
  if (!IsFloat(recipe.body)) ours.embedding = DType::kQ8_0;
  std::vector<OpenVinoTensor> tensors;
  const auto name = [&](Role role, int layer) { return HfTensorName(model.architecture, role, layer); };
  for (OutputTensor& tensor : FusePieces(model, name)) {
    QF_ASSIGN_OR_RETURN(const DType dtype, TypeOf(model, ours, tensor));
    tensors.push_back({std::move(tensor), dtype});
  }
  QF_ASSIGN_OR_RETURN(const std::vector<Attachment> small, SmallFiles(source));
  DataFile data(model, "openvino_model.bin", kAlignment);
  std::string xml = BuildOpenVinoDecoder(model, tensors, data);
  std::vector<PlannedFile> files;
  files.push_back(data.Take());
  files.push_back(WholeFile("openvino_model.xml", std::move(xml)));
  return Assemble(model.hyper, std::move(files), small, 4);
}

}  // namespace quantfleet::pipeline
