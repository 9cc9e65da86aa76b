// Artifacts of each format and architecture, made whole and read back by what their files say.
#include "pipeline/format/registry/dequantized_source.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>

#include "pipeline/family/family.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/executor.h"
#include "pipeline/stage/folder_sink.h"
#include "pipeline/tensor/codec.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_name.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::TempDir;
using ::quantfleet::testing::TinyModelOptions;
using ::quantfleet::testing::WriteTinyModel;

constexpr TinyModelOptions Wide(bool tied) {
  TinyModelOptions options;
  options.hidden = 128;  // groups of 128 divide it
  options.intermediate = 256;
  options.layers = 2;
  options.tied = tied;
  return options;
}

struct Made {
  Plan plan;
  fs::path folder;
  std::vector<std::string> paths;
};

// The artifact of "format:recipe" under `out`.
absl::StatusOr<Made> MakeOne(const ModelSource& source, std::string_view target,
                             const fs::path& out) {
  QF_ASSIGN_OR_RETURN(const TargetSpec spec, ParseTargetSpec(target));
  Made made;
  QF_ASSIGN_OR_RETURN(made.plan, MakePlan(source, {spec}));
  QF_ASSIGN_OR_RETURN(const auto sink, FolderSink::Open(RealFileSystem(), out, made.plan, {}));
  QF_ASSIGN_OR_RETURN(const ExecutorResult result, Execute(source, made.plan, *sink, {}));
  QF_RETURN_IF_ERROR(sink->Finish(result.manifests));
  made.folder = sink->FolderOf(0);
  for (const OutputFile& file : made.plan.targets[0].layout.files) made.paths.push_back(file.path);
  return made;
}

absl::StatusOr<std::unique_ptr<DequantizedSource>> OpenMade(const Made& made,
                                                            const ModelSource& source) {
  return DequantizedSource::Open(RealFileSystem(), made.folder, made.paths,
                                 made.plan.targets[0].spec.format, source.description());
}

std::vector<float> Floats(const ModelSource& source, const Piece& piece) {
  const SourceTensor& tensor = source.description().tensors[piece.tensor];
  const int64_t n = piece.rows * piece.cols;
  const int64_t before = piece.dims == 1 ? RowBytes(tensor.dtype, piece.first_row)
                                         : piece.first_row * RowBytes(tensor.dtype, piece.cols);
  Bytes raw(static_cast<size_t>(RowBytes(tensor.dtype, n)));
  EXPECT_OK(source.Read(piece.tensor, static_cast<uint64_t>(before), raw));
  std::vector<float> values(static_cast<size_t>(n));
  FindCodec(tensor.dtype)->decode(raw.data(), n, values.data());
  return values;
}

// What the codec of the type that the plan has for the piece makes of the source's values.
std::vector<float> Rounded(const Made& made, uint32_t piece, int64_t rows, int64_t cols,
                           std::vector<float> values) {
  for (const PlacedPiece& placed : made.plan.targets[0].layout.pieces) {
    if (placed.piece != piece || !HoldsCodes(placed.part)) continue;
    const Codec* codec = FindCodec(placed.dtype);
    Bytes blocks(static_cast<size_t>(rows * RowBytes(placed.dtype, cols)));
    codec->encode(values.data(), rows, cols, nullptr, blocks.data());
    for (int64_t row = 0; row < rows; ++row)
      codec->decode(blocks.data() + row * RowBytes(placed.dtype, cols), cols,
                    values.data() + row * cols);
    return values;
  }
  ADD_FAILURE() << "no place for piece " << piece;
  return values;
}

void ExpectAllAsTheCodecHasThem(const ModelSource& source, const Made& made) {
  const auto read = OpenMade(made, source);
  ASSERT_OK(read);
  const ModelDescription &ours = (*read)->description(), &theirs = source.description();
  ASSERT_EQ(ours.pieces.size(), theirs.pieces.size());
  for (uint32_t p = 0; p < ours.pieces.size(); ++p) {
    const Piece& piece = theirs.pieces[p];
    EXPECT_EQ(ours.pieces[p].order, RowOrder::kHf);
    const std::vector<float> got = Floats(**read, ours.pieces[p]);
    std::vector<float> had = Floats(source, piece);
    if (piece.lacks != ours.pieces[p].lacks)
      for (float& value : had) value += piece.lacks - ours.pieces[p].lacks;
    EXPECT_EQ(got, Rounded(made, p, piece.rows, piece.cols, had))
        << Name(piece.role) << " of layer " << piece.layer;
  }
}

// Whether such a folder can be made of the family's models; its own tests say what is refused.
bool HoldsInFolders(const Family& family, std::string_view target) {
  if (StacksExperts(family, Dialect::kHf, Role::kFfnDownExpert)) return false;
  return !family.encoder || !target.starts_with("safetensors:w");
}

class DequantizedSourceTest : public ::testing::TestWithParam<const Family*> {};

TEST_P(DequantizedSourceTest, EachWeightIsWhatItsCodesStandFor) {
  for (const bool tied : {false, true}) {
    const TempDir dir;
    WriteTinyModel(dir / "model", GetParam()->name, Wide(tied));
    const auto source = OpenModel(RealFileSystem(), dir / "model");
    ASSERT_OK(source);
    for (const std::string_view target :
         {"mlx:int4", "mlx:int8-g64", "mlx:int4-g128-asym", "mlx:bf16", "onnx:int4", "onnx:int8",
          "onnx:int4-g64-asym", "onnx:int8-qdq", "onnx:fp16", "onnx:fp32", "openvino:int4",
          "openvino:int8", "openvino:int4-g64-asym", "openvino:fp16", "safetensors:f32",
          "safetensors:bf16", "safetensors:w8a8", "safetensors:w4a16-g32", "safetensors:w4a16"}) {
      SCOPED_TRACE(fmt::format("{}{}", target, tied ? ", tied" : ""));
      if (target.starts_with("safetensors:") && !HoldsInFolders(*GetParam(), target)) continue;
      const auto made = MakeOne(**source, target, dir / "out");
      ASSERT_OK(made);
      ExpectAllAsTheCodecHasThem(**source, *made);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, DequantizedSourceTest, ::testing::ValuesIn(Families()),
                         [](const auto& tested) {
                           return ::quantfleet::testing::TestName(tested.param->name);
                         });

// A GGUF of llama has the rows of q and k turned; these formats have them as Hugging Face does.
TEST(DequantizedSource, RowsThatTheSourceHadTurnedAreBackInTheirPlaces) {
  const TempDir dir;
  WriteTinyModel(dir / "model", "llama", Wide(false));
  const auto straight = OpenModel(RealFileSystem(), dir / "model");
  ASSERT_OK(straight);
  const auto gguf = MakeOne(**straight, "gguf:bf16", dir / "gguf");
  ASSERT_OK(gguf);
  const auto turned = OpenModel(RealFileSystem(), gguf->folder / "model.gguf");
  ASSERT_OK(turned);
  const auto made = MakeOne(**turned, "mlx:int4", dir / "out");
  ASSERT_OK(made);
  const auto read = OpenMade(*made, **turned);
  ASSERT_OK(read);
  for (const Role role : {Role::kAttnQ, Role::kAttnK}) {
    const Piece &ours = *(*read)->description().Find(role, 1),
                &theirs = *(*straight)->description().Find(role, 1);
    const auto p = static_cast<uint32_t>(&theirs - (*straight)->description().pieces.data());
    EXPECT_EQ(Floats(**read, ours),
              Rounded(*made, p, theirs.rows, theirs.cols, Floats(**straight, theirs)));
  }
}

TEST(DequantizedSource, AnyRangeOfATensorIsThatRange) {
  const TempDir dir;
  WriteTinyModel(dir / "model", "phi3", Wide(false));
  const auto source = OpenModel(RealFileSystem(), dir / "model");
  ASSERT_OK(source);
  const auto made = MakeOne(**source, "openvino:int4", dir / "out");
  ASSERT_OK(made);
  const auto read = OpenMade(*made, **source);
  ASSERT_OK(read);
  const uint64_t size = 320 * 128 * sizeof(float);  // the embedding
  Bytes whole(size);
  ASSERT_OK((*read)->Read(0, 0, whole));
  using Range = std::pair<uint64_t, uint64_t>;
  for (const auto& [offset, count] : {Range{1, 3}, {510, 5}, {512 * 7 + 4, 512 * 90}, {size, 0}}) {
    Bytes part(count);
    ASSERT_OK((*read)->Read(0, offset, part));
    EXPECT_TRUE(std::ranges::equal(part, ByteSpan(whole).subspan(offset, count))) << offset;
  }
  Bytes two(2);
  EXPECT_ERROR((*read)->Read(0, size - 1, two), kOutOfRange, "model.embed_tokens.weight");
  EXPECT_ERROR((*read)->Read(999, 0, two), kOutOfRange, "tensor 999");
}

// What a file says and does not hold.
class HostileArtifact : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteTinyModel(dir_ / "model", "phi3", Wide(false));
    auto source = OpenModel(RealFileSystem(), dir_ / "model");
    ASSERT_OK(source);
    source_ = *std::move(source);
  }
  void Make(std::string_view target) {
    auto made = MakeOne(*source_, target, dir_ / "out");
    ASSERT_OK(made);
    made_ = *std::move(made);
  }
  // Exchanges all of one text for another of the same length, so that nothing else moves.
  void Exchange(const char* file, const std::string& old_text, const std::string& new_text) {
    ASSERT_EQ(old_text.size(), new_text.size());
    std::string bytes = *RealFileSystem().ReadAll(made_.folder / file);
    size_t found = 0;
    for (size_t at = 0; (at = bytes.find(old_text, at)) != std::string::npos;
         at += new_text.size(), ++found)
      bytes.replace(at, old_text.size(), new_text);
    ASSERT_GT(found, 0u) << old_text;
    testing::WriteFile(made_.folder / file, bytes);
  }
  void Cut(const char* file, uint64_t bytes) {
    fs::resize_file(made_.folder / file, fs::file_size(made_.folder / file) - bytes);
  }
  absl::Status Open() { return OpenMade(made_, *source_).status(); }

  const TempDir dir_;
  std::unique_ptr<ModelSource> source_;
  Made made_;
};

TEST_F(HostileArtifact, OfMlx) {
  Make("mlx:int4");
  Exchange("model.safetensors", "lm_head.scales", "lm_head.scalez");
  EXPECT_ERROR(Open(), kDataLoss, "model.safetensors", "'lm_head.weight'", "U32", "scales");
  Exchange("model.safetensors", "lm_head.scalez", "lm_head.scales");
  Exchange("model.safetensors", "lm_head.biases", "lm_head.biasez");
  EXPECT_ERROR(Open(), kDataLoss, "'lm_head.weight'", "U32", ".biases");
  Exchange("model.safetensors", "lm_head.biasez", "lm_head.biases");
  Exchange("model.safetensors", "\"lm_head.weight\"", "\"lm_head.w_ight\"");
  EXPECT_ERROR(Open(), kDataLoss, "'lm_head.scales'", "F16", "codes");
  Exchange("model.safetensors", "\"lm_head.w_ight\"", "\"lm_head.weight\"");
  Exchange("model.safetensors", "\"model.norm.weight\"", "\"model.nor_.weight\"");
  EXPECT_ERROR(Open(), kDataLoss, "'model.norm.weight'");
  Exchange("model.safetensors", "\"model.nor_.weight\"", "\"model.norm.weight\"");
  ASSERT_OK(Open());
  Cut("model.safetensors", 1);
  EXPECT_ERROR(Open(), kDataLoss, "truncated");
}

TEST_F(HostileArtifact, OfOpenVino) {
  Make("openvino:int4");
  Exchange("openvino_model.xml", "model.norm.weight", "model.nor_.weight");
  EXPECT_ERROR(Open(), kDataLoss, "'model.norm.weight'");
  Exchange("openvino_model.xml", "model.nor_.weight", "model.norm.weight");
  // As many bytes, but of numbers that are no codes.
  const auto of_embedding = [](const char* type) {
    return fmt::format("element_type=\"{}\" shape=\"320, 4, 32\" offset=\"0\"", type);
  };
  Exchange("openvino_model.xml", of_embedding("i8"), of_embedding("e8"));
  EXPECT_ERROR(Open(), kDataLoss, "'model.embed_tokens.weight'", "type");
  Exchange("openvino_model.xml", of_embedding("e8"), of_embedding("u8"));
  EXPECT_ERROR(Open(), kDataLoss, "openvino_model.bin", "'model.embed_tokens.weight'", "u8",
               "/zero_point");
  Exchange("openvino_model.xml", of_embedding("u8"), of_embedding("i8"));
  ASSERT_OK(Open());
  Cut("openvino_model.bin", fs::file_size(made_.folder / "openvino_model.bin") / 2);
  EXPECT_ERROR(Open(), kDataLoss, "outside");
}

TEST_F(HostileArtifact, OfOnnx) {
  Make("onnx:int8");
  Exchange("model.onnx", "model.onnx.data", "model.onnx_data");
  EXPECT_ERROR(Open(), kNotFound, "model.onnx_data");
  Exchange("model.onnx", "model.onnx_data", "../abc/onnx.dat");
  EXPECT_ERROR(Open(), kDataLoss, "folder");
  Exchange("model.onnx", "../abc/onnx.dat", "model.onnx.data");
  Exchange("model.onnx", "lm_head.weight.scales", "lm_head.weight.scalez");
  EXPECT_ERROR(Open(), kDataLoss, "'lm_head.weight'");
  Exchange("model.onnx", "lm_head.weight.scalez", "lm_head.weight.scales");
  // The length of the embedding's codes, and offsets that are the same number.
  Exchange("model.onnx",
           "\x12\x05"
           "40960",
           "\x12\x05"
           "x0960");
  EXPECT_ERROR(Open(), kDataLoss, "'model.embed_tokens.weight.codes'", "length");
  Exchange("model.onnx",
           "\x12\x05"
           "x0960",
           "\x12\x05"
           "40960");
  Exchange("model.onnx",
           "\x12\x05"
           "40960",
           "\x12\x05"
           "40961");
  EXPECT_ERROR(Open(), kDataLoss, "shape", "40961");
  Exchange("model.onnx",
           "\x12\x05"
           "40961",
           "\x12\x05"
           "40960");
  ASSERT_OK(Open());
  Cut("model.onnx.data", fs::file_size(made_.folder / "model.onnx.data") / 2);
  EXPECT_ERROR(Open(), kDataLoss, "model.onnx.data");
}

TEST_F(HostileArtifact, OfAnotherModel) {
  Make("onnx:int8");
  TinyModelOptions other = Wide(false);
  other.intermediate = 128;
  WriteTinyModel(dir_ / "other", "phi3", other);
  const auto source = OpenModel(RealFileSystem(), dir_ / "other");
  ASSERT_OK(source);
  EXPECT_ERROR(OpenMade(made_, **source), kDataLoss, "'model.layers.0.mlp.gate_proj.weight");
  EXPECT_ERROR(DequantizedSource::Open(RealFileSystem(), made_.folder, made_.paths, "gguf",
                                       source_->description()),
               kUnimplemented, "'gguf'");
}

}  // namespace
}  // namespace quantfleet::pipeline
