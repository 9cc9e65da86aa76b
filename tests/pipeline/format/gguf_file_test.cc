// What the header parser makes of good and of hostile files. Bytes are put together by hand here:
// the writer of the library cannot lie.
#include "pipeline/format/gguf/read/gguf_file.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "pipeline/format/gguf/read/gguf_hyper.h"
#include "pipeline/format/gguf/read/gguf_tokenizer.h"
#include "tests/support/memory_file.h"
#include "tests/support/status_matchers.h"
#include "text/tokenizer/end_tokens.h"

namespace quantfleet::pipeline {
namespace {

using testing::MemoryFile;

struct RawFile {
  std::string bytes;

  template <typename T>
  RawFile& Num(T value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  RawFile& U32(uint32_t v) { return Num(v); }
  RawFile& U64(uint64_t v) { return Num(v); }
  RawFile& Text(std::string_view text) {
    U64(text.size());
    bytes.append(text);
    return *this;
  }
  RawFile& Start(uint64_t tensors, uint64_t kvs, uint32_t version = 3) {
    bytes += "GGUF";
    return U32(version).U64(tensors).U64(kvs);
  }
  RawFile& KvU32(std::string_view key, uint32_t v) { return Text(key).U32(4).U32(v); }
  RawFile& KvText(std::string_view key, std::string_view v) { return Text(key).U32(8).Text(v); }
  RawFile& Tensor(std::string_view name, std::vector<int64_t> dims, uint32_t type,
                  uint64_t offset) {
    Text(name).U32(static_cast<uint32_t>(dims.size()));
    for (const int64_t d : dims) Num(d);
    return U32(type).U64(offset);
  }
  RawFile& Data(size_t n, size_t alignment = 32) {
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment + n, '\x01');
    return *this;
  }
  absl::StatusOr<GgufFile> Read() const { return GgufFile::Read(MemoryFile(bytes), "m.gguf"); }
};

RawFile OneTensor() {
  RawFile f;
  f.Start(1, 1).KvText("general.architecture", "llama").Tensor("w", {4, 2}, 0, 0).Data(32);
  return f;
}

TEST(GgufFile, ReadsKeysOfEveryType) {
  RawFile f;
  f.Start(0, 13);
  f.Text("u8").U32(0).Num<uint8_t>(200);
  f.Text("i8").U32(1).Num<int8_t>(-2);
  f.Text("u16").U32(2).Num<uint16_t>(60000);
  f.Text("i16").U32(3).Num<int16_t>(-3);
  f.Text("u32").U32(4).U32(4'000'000'000u);
  f.Text("i32").U32(5).Num<int32_t>(-4);
  f.Text("f32").U32(6).Num(1.5f);
  f.Text("bool").U32(7).Num<uint8_t>(1);
  f.Text("text").U32(8).Text("hello");
  f.Text("floats").U32(9).U32(6).U64(2).Num(1.0f).Num(2.0f);
  f.Text("u64").U32(10).U64(std::numeric_limits<uint64_t>::max());
  f.Text("i64").U32(11).Num<int64_t>(-5);
  f.Text("f64").U32(12).Num(2.5);
  const auto file = f.Read();
  ASSERT_OK(file);
  EXPECT_EQ(**file->Integer("u8"), 200);
  EXPECT_EQ(**file->Integer("i8"), -2);
  EXPECT_EQ(**file->Integer("u16"), 60000);
  EXPECT_EQ(**file->Integer("i16"), -3);
  EXPECT_EQ(**file->Integer("u32"), 4'000'000'000);
  EXPECT_EQ(**file->Integer("i32"), -4);
  EXPECT_EQ(**file->Float("f32"), 1.5);
  EXPECT_EQ(**file->Bool("bool"), true);
  EXPECT_EQ(**file->Text("text"), "hello");
  EXPECT_EQ(**file->Floats("floats"), (std::vector<float>{1, 2}));
  EXPECT_ERROR(file->Integer("u64"), kInvalidArgument, "out of range");
  EXPECT_EQ(**file->Integer("i64"), -5);
  EXPECT_EQ(**file->Float("f64"), 2.5);
  EXPECT_FALSE((*file->Integer("absent")).has_value());
  EXPECT_ERROR(file->Integer("text"), kInvalidArgument, "m.gguf", "'text'", "string");
  EXPECT_ERROR(file->Strings("floats"), kInvalidArgument, "array of f32");
}

TEST(GgufFile, ReadsTensorsAndTheirPlaces) {
  RawFile f;
  f.Start(2, 0, 2).Tensor("a", {3}, 0, 0).Tensor("b", {32, 5}, 8, 32).Data(32 + 5 * 34);
  const auto file = f.Read();
  ASSERT_OK(file);
  EXPECT_EQ(file->version(), 2u);
  ASSERT_EQ(file->tensors().size(), 2u);
  const GgufTensor& b = *file->FindTensor("b");
  EXPECT_EQ(b.dtype, DType::kQ8_0);
  EXPECT_EQ(b.dims[0], 32);
  EXPECT_EQ(b.dims[1], 5);
  EXPECT_EQ(b.size, 5u * 34);
  EXPECT_EQ(b.offset, file->data_offset() + 32);
  EXPECT_EQ(file->data_offset() % 32, 0u);
}

TEST(GgufFile, HonoursAlignment) {
  RawFile f;
  f.Start(2, 1)
      .KvU32("general.alignment", 64)
      .Tensor("a", {3}, 0, 0)
      .Tensor("b", {4}, 0, 64)
      .Data(80, 64);
  const auto file = f.Read();
  ASSERT_OK(file);
  EXPECT_EQ(file->alignment(), 64u);
  EXPECT_EQ(file->FindTensor("b")->offset % 64, 0u);
}

TEST(GgufFile, EveryTruncationIsAnError) {
  RawFile whole = OneTensor();
  ASSERT_OK(whole.Read());
  for (size_t n = 0; n < whole.bytes.size(); ++n) {
    RawFile cut{whole.bytes.substr(0, n)};
    const auto file = cut.Read();
    ASSERT_FALSE(file.ok()) << "cut to " << n;
    EXPECT_TRUE(file.status().code() == absl::StatusCode::kDataLoss) << Describe(file.status());
  }
}

TEST(GgufFile, RefusesForeignFilesAndVersions) {
  EXPECT_ERROR(RawFile{"PK\3\4 this is a zip, not a model"}.Read(), kInvalidArgument, "GGUF");
  EXPECT_ERROR(RawFile().Start(0, 0, 1).Read(), kUnimplemented, "version 1");
  EXPECT_ERROR(RawFile().Start(0, 0, 4).Read(), kUnimplemented, "version 4");
  EXPECT_ERROR(RawFile().Start(0, 0, 0x03000000u).Read(), kUnimplemented, "big-endian");
}

TEST(GgufFile, RefusesHugeCounts) {
  const uint64_t huge = std::numeric_limits<uint64_t>::max();
  EXPECT_ERROR(RawFile().Start(0, huge).Read(), kInvalidArgument, "keys");
  EXPECT_ERROR(RawFile().Start(huge, 0).Read(), kInvalidArgument, "tensors");
  EXPECT_ERROR(RawFile().Start(60000, 0).Read(), kDataLoss, "60000 tensors");
  EXPECT_ERROR(RawFile().Start(0, 60000).Read(), kDataLoss, "60000 keys");
  RawFile text;
  text.Start(0, 1).Text("k").U32(8).U64(huge).Data(64);
  EXPECT_ERROR(text.Read(), kInvalidArgument, "18446744073709551615");
  RawFile key;
  key.Start(0, 1).U64(huge).Data(64);
  EXPECT_ERROR(key.Read(), kInvalidArgument, "a key");
  RawFile array;
  array.Start(0, 1).Text("k").U32(9).U32(6).U64(huge).Data(64);
  EXPECT_ERROR(array.Read(), kInvalidArgument, "elements");
  RawFile strings;
  strings.Start(0, 1).Text("k").U32(9).U32(8).U64(1'000'000).Data(64);
  EXPECT_ERROR(strings.Read(), kDataLoss, "truncated");
}

TEST(GgufFile, RefusesBadKeys) {
  EXPECT_ERROR(RawFile().Start(0, 2).KvU32("k", 1).KvU32("k", 2).Read(), kInvalidArgument, "'k'",
               "more than once");
  EXPECT_ERROR(RawFile().Start(0, 1).KvU32("", 1).Data(8).Read(), kInvalidArgument, "empty");
  EXPECT_ERROR(RawFile().Start(0, 1).KvU32("a\nb", 1).Read(), kInvalidArgument, "printable");
  RawFile type;
  type.Start(0, 1).Text("k").U32(13).U32(0);
  EXPECT_ERROR(type.Read(), kInvalidArgument, "type 13");
  RawFile nested;
  nested.Start(0, 1).Text("k").U32(9).U32(9).U64(1);
  EXPECT_ERROR(nested.Read(), kInvalidArgument, "array of arrays");
  RawFile boolean;
  boolean.Start(0, 1).Text("k").U32(7).Num<uint8_t>(2);
  EXPECT_ERROR(boolean.Read(), kInvalidArgument, "bool");
}

TEST(GgufFile, RefusesBadAlignment) {
  for (const uint32_t alignment : {0u, 3u, 48u, 1u << 20})
    EXPECT_ERROR(RawFile().Start(0, 1).KvU32("general.alignment", alignment).Read(),
                 kInvalidArgument, "power of two");
  EXPECT_ERROR(RawFile().Start(0, 1).KvText("general.alignment", "32").Read(), kInvalidArgument,
               "u32");
}

TEST(GgufFile, RefusesBadTensors) {
  const auto with = [](std::vector<int64_t> dims, uint32_t type, uint64_t offset = 0) {
    RawFile f;
    f.Start(1, 0).Tensor("w", std::move(dims), type, offset).Data(4096);
    return f.Read();
  };
  EXPECT_ERROR(with({}, 0), kInvalidArgument, "0 dimensions");
  EXPECT_ERROR(with({1, 1, 1, 1, 1}, 0), kInvalidArgument, "5 dimensions");
  EXPECT_ERROR(with({4, 0}, 0), kInvalidArgument, "dimension of 0");
  EXPECT_ERROR(with({-4}, 0), kInvalidArgument, "dimension of -4");
  EXPECT_ERROR(with({48}, 2), kInvalidArgument, "block size 32", "q4_0");
  EXPECT_ERROR(with({128}, 10), kInvalidArgument, "'w'", "block size 256", "q2_k");
  EXPECT_ERROR(with({128}, 16), kInvalidArgument, "'w'", "block size 256", "iq2_xxs");
  EXPECT_ERROR(with({32}, 42), kInvalidArgument, "'w'", "block size 64", "q2_0");
  for (const auto& [type, name] : {std::pair(9u, "Q8_1"), {15u, "Q8_K"}, {26u, "I32"}})
    EXPECT_ERROR(with({256}, type), kUnimplemented, "'w'", name);
  EXPECT_ERROR(with({4}, 777), kUnimplemented, "777");
  const int64_t big = std::numeric_limits<int64_t>::max();
  EXPECT_ERROR(with({big}, 0), kInvalidArgument, "overflow");
  EXPECT_ERROR(with({int64_t{1} << 32, int64_t{1} << 32}, 0), kInvalidArgument, "overflow");
  EXPECT_ERROR(with({1 << 30, 1 << 30, 1 << 30, 1 << 30}, 0), kInvalidArgument, "overflow");
  EXPECT_ERROR(with({int64_t{1} << 40}, 0), kDataLoss, "beyond the end");
  EXPECT_ERROR(with({4}, 0, 32), kInvalidArgument, "offset 32");
  EXPECT_ERROR(with({4}, 0, std::numeric_limits<uint64_t>::max() - 31), kInvalidArgument,
               "offset 18446744073709551584");
  RawFile name;
  name.Start(1, 0).Tensor(std::string(64, 'x'), {4}, 0, 0).Data(16);
  EXPECT_ERROR(name.Read(), kInvalidArgument, "length of 64");
}

TEST(GgufFile, RefusesTensorsThatOverlapLeaveGapsOrOccurTwice) {
  const auto second = [](std::string_view name, uint64_t offset) {
    RawFile f;
    f.Start(2, 0).Tensor("a", {16}, 0, 0).Tensor(name, {4}, 0, offset).Data(4096);
    return f.Read();
  };
  EXPECT_OK(second("b", 64));
  EXPECT_ERROR(second("b", 32), kInvalidArgument, "'b'", "offset 32");
  EXPECT_ERROR(second("b", 0), kInvalidArgument, "'b'", "offset 0");
  EXPECT_ERROR(second("b", 96), kInvalidArgument, "end at 64");
  EXPECT_ERROR(second("a", 64), kInvalidArgument, "'a'", "more than once");
}

TEST(GgufTokenizer, ReadsAVocabulary) {
  RawFile f;
  f.Start(0, 6).KvText("tokenizer.ggml.model", "llama");
  f.Text("tokenizer.ggml.tokens").U32(9).U32(8).U64(3).Text("<unk>").Text("<s>").Text("</s>");
  f.Text("tokenizer.ggml.scores").U32(9).U32(6).U64(3).Num(0.f).Num(-1.f).Num(-2.f);
  f.Text("tokenizer.ggml.token_type").U32(9).U32(5).U64(3).U32(2).U32(3).U32(3);
  f.KvU32("tokenizer.ggml.padding_token_id", 0xffffffffu);
  f.Text("tokenizer.ggml.add_eos_token").U32(7).Num<uint8_t>(1);
  const auto file = f.Read();
  ASSERT_OK(file);
  const auto t = ReadTokenizer(*file);
  ASSERT_OK(t);
  EXPECT_EQ(t->kind, text::TokenizerData::Kind::kSpm);
  ASSERT_EQ(t->tokens.size(), 3u);
  EXPECT_EQ(t->tokens[2].text, "</s>");
  EXPECT_EQ(t->tokens[2].score, -2.0f);
  EXPECT_EQ(t->tokens[0].type, text::TokenType::kUnknown);
  EXPECT_EQ(t->bos, 1);
  EXPECT_EQ(t->eos, 2);
  EXPECT_FALSE(t->padding.has_value());
  EXPECT_TRUE(t->add_bos && t->add_eos && t->add_space_prefix);
}

// A llama vocabulary of <unk> <s> </s>, then the texts, all control tokens; `keys` more pairs
// follow.
RawFile& StartVocabulary(RawFile& f, const std::vector<std::string>& texts, uint64_t keys) {
  const uint64_t count = 3 + texts.size();
  f.Start(0, 3 + keys).KvText("tokenizer.ggml.model", "llama");
  f.Text("tokenizer.ggml.tokens").U32(9).U32(8).U64(count).Text("<unk>").Text("<s>").Text("</s>");
  for (const std::string& text : texts) f.Text(text);
  f.Text("tokenizer.ggml.token_type").U32(9).U32(5).U64(count).U32(2);
  for (uint64_t i = 1; i < count; ++i) f.U32(3);
  return f;
}

TEST(GgufTokenizer, EveryEndOfAFileCounts) {
  const auto ends = [](const std::vector<std::string>& texts, uint64_t keys,
                       const std::function<void(RawFile&)>& add) {
    RawFile f;
    add(StartVocabulary(f, texts, keys));
    const auto t = ReadTokenizer(*f.Read());
    EXPECT_OK(t);
    return t.ok() ? text::EndIds(*t) : std::vector<int32_t>();
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(ends({"a", "b", "c"}, 0, [](RawFile&) {}), Ids{2});
  // What llama.cpp would stop at: its converter says eos alone.
  EXPECT_EQ(ends({"a", "<|end|>", "<|user|>"}, 0, [](RawFile&) {}), (Ids{2, 4}));
  EXPECT_EQ(
      ends({"a", "b", "c"}, 3,
           [](RawFile& f) {
             f.KvU32("tokenizer.ggml.eos_token_id", 3).KvU32("tokenizer.ggml.eot_token_id", 5);
             f.KvU32("tokenizer.ggml.eom_token_id", 0xffffffffu);
           }),
      (Ids{3, 5}));
  EXPECT_EQ(ends({"a", "b", "c"}, 2,
                 [](RawFile& f) {
                   f.KvU32("tokenizer.ggml.eom_token_id", 4);
                   f.Text("tokenizer.ggml.eos_token_ids").U32(9).U32(5).U64(3).U32(2).U32(5).U32(3);
                 }),
            (Ids{2, 3, 4, 5}));
  RawFile outside;
  StartVocabulary(outside, {}, 1).KvU32("tokenizer.ggml.eot_token_id", 3);
  EXPECT_ERROR(ReadTokenizer(*outside.Read()), kInvalidArgument, "'tokenizer.ggml.eot_token_id'",
               "token 3");
  RawFile listed;
  StartVocabulary(listed, {}, 1)
      .Text("tokenizer.ggml.eos_token_ids")
      .U32(9)
      .U32(5)
      .U64(2)
      .U32(2)
      .U32(77);
  EXPECT_ERROR(ReadTokenizer(*listed.Read()), kInvalidArgument, "'tokenizer.ggml.eos_token_ids'",
               "token 77");
}

TEST(GgufSampling, IsReadAndChecked) {
  RawFile f;
  f.Start(0, 3).Text("general.sampling.top_k").U32(5).U32(40);
  f.Text("general.sampling.temp")
      .U32(6)
      .Num(0.5f)
      .Text("general.sampling.penalty_repeat")
      .U32(6)
      .Num(1.1f);
  const auto sampling = ReadSampling(*f.Read());
  ASSERT_OK(sampling);
  EXPECT_EQ(*sampling,
            (SamplingDefaults{
                .samples = true, .temperature = 0.5f, .repetition_penalty = 1.1f, .top_k = 40}));
  RawFile none, greedy, wide, nan;
  EXPECT_EQ(*ReadSampling(*none.Start(0, 1).KvU32("a", 1).Read()), SamplingDefaults{});
  greedy.Start(0, 1).Text("general.sampling.temp").U32(6).Num(0.f);
  EXPECT_EQ(*ReadSampling(*greedy.Read()), SamplingDefaults{.samples = false});
  wide.Start(0, 1).Text("general.sampling.top_p").U32(6).Num(2.f);
  EXPECT_ERROR(ReadSampling(*wide.Read()), kInvalidArgument, "'general.sampling.top_p' is 2");
  nan.Start(0, 1).Text("general.sampling.temp").U32(6).Num(std::numeric_limits<float>::quiet_NaN());
  EXPECT_ERROR(ReadSampling(*nan.Read()), kInvalidArgument, "'general.sampling.temp'", "nan");
}

TEST(GgufTokenizer, RefusesWhatContradictsItself) {
  const auto read = [](RawFile& f) { return ReadTokenizer(*f.Read()); };
  RawFile kind;
  EXPECT_ERROR(read(kind.Start(0, 1).KvText("tokenizer.ggml.model", "t5")), kUnimplemented, "'t5'");
  RawFile none;
  EXPECT_ERROR(read(none.Start(0, 1).KvText("tokenizer.ggml.model", "llama")), kInvalidArgument,
               "tokenizer.ggml");
  RawFile scores;
  scores.Start(0, 3).KvText("tokenizer.ggml.model", "llama");
  scores.Text("tokenizer.ggml.tokens").U32(9).U32(8).U64(2).Text("a").Text("b");
  scores.Text("tokenizer.ggml.scores").U32(9).U32(6).U64(1).Num(0.f);
  EXPECT_ERROR(read(scores), kInvalidArgument, "2 tokens, 1 scores");
  RawFile id;
  id.Start(0, 3).KvText("tokenizer.ggml.model", "llama").KvU32("tokenizer.ggml.bos_token_id", 7);
  id.Text("tokenizer.ggml.tokens").U32(9).U32(8).U64(3).Text("a").Text("b").Text("c");
  EXPECT_ERROR(read(id), kInvalidArgument, "bos token is 7");
  RawFile type;
  type.Start(0, 3).KvText("tokenizer.ggml.model", "llama");
  type.Text("tokenizer.ggml.tokens").U32(9).U32(8).U64(3).Text("a").Text("b").Text("c");
  type.Text("tokenizer.ggml.token_type").U32(9).U32(5).U64(3).U32(1).U32(9).U32(1);
  EXPECT_ERROR(read(type), kInvalidArgument, "type 9");
  RawFile merges;
  merges.Start(0, 2).KvText("tokenizer.ggml.model", "gpt2");
  merges.Text("tokenizer.ggml.tokens").U32(9).U32(8).U64(1).Text("a");
  EXPECT_ERROR(read(merges), kInvalidArgument, "merges");
}

}  // namespace
}  // namespace quantfleet::pipeline
