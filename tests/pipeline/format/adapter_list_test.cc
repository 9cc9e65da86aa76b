// Adapters that stand in a model's folder, and the list that names them.
#include "pipeline/format/safetensors/adapter_list.h"

#include <gtest/gtest.h>

#include "pipeline/format/registry/open_model.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using testing::WriteFile;

constexpr const char* kDown = "model.layers.0.mlp.down_proj";

class AdapterListTest : public ::testing::Test {
 protected:
  AdapterListTest() {
    testing::WriteTinyModel(dir_.path(), "llama");
    testing::WriteTinyAdapter(dir_ / "adapters/1", kDown, 64, 96);
  }
  void List(std::string_view text) { WriteFile(dir_ / std::string(kAdapterList), text); }
  absl::StatusOr<std::vector<LoraChoice>> Read() {
    return ReadAdapterList(RealFileSystem(), dir_.path());
  }
  absl::StatusOr<std::unique_ptr<ModelSource>> Open() {
    return OpenModel(RealFileSystem(), dir_.path());
  }
  static DType TypeOf(const ModelSource& source, const std::string& name) {
    const auto& tensors = source.description().tensors;
    return std::ranges::find(tensors, name, &SourceTensor::name)->dtype;
  }

  testing::TempDir dir_;
};

TEST_F(AdapterListTest, IsReadAsItWasWritten) {
  List(AdapterListText({{"x/tone", 0.1, "tone"}, {"y", -2, "my \"y\""}}));
  const auto choices = Read();
  ASSERT_OK(choices);
  ASSERT_EQ(choices->size(), 2u);
  EXPECT_EQ((*choices)[0].folder, dir_ / "adapters/1");
  EXPECT_EQ((*choices)[0].times, 0.1);
  EXPECT_EQ((*choices)[0].name, "tone");
  EXPECT_EQ((*choices)[1].folder, dir_ / "adapters/2");
  EXPECT_EQ((*choices)[1].times, -2);
  EXPECT_EQ((*choices)[1].name, "my \"y\"");
}

TEST_F(AdapterListTest, WhatItNamesIsMergedWhereverTheFolderIsOpened) {
  const std::string weight = std::string(kDown) + ".weight";
  const auto base = Open();
  ASSERT_OK(base);
  EXPECT_EQ(TypeOf(**base, weight), DType::kBF16);  // without the list it is nothing to anybody
  List(R"({"adapters": [{"folder": "adapters/1", "name": "tone", "scale": 0.5}]})");
  const auto model = ResolveModel(RealFileSystem(), dir_.path());
  ASSERT_OK(model);
  EXPECT_TRUE(model->Has(kAdapterList));
  EXPECT_TRUE(model->Has("adapters/1/adapter_model.safetensors"));
  const auto merged = Open();
  ASSERT_OK(merged);
  EXPECT_EQ(TypeOf(**merged, weight), DType::kF32);
  EXPECT_NE((*merged)->fingerprint().text, (*base)->fingerprint().text);
  // And then what a command line adds.
  testing::TempDir other;
  testing::WriteTinyAdapter(other / "more", "model.layers.1.mlp.down_proj", 64, 96);
  ModelFiles both = *model;
  ASSERT_OK(AddAdapters(RealFileSystem(), {{other / "more"}}, both));
  const auto twice = OpenModel(RealFileSystem(), both);
  ASSERT_OK(twice);
  EXPECT_EQ(TypeOf(**twice, weight), DType::kF32);
  EXPECT_EQ(TypeOf(**twice, "model.layers.1.mlp.down_proj.weight"), DType::kF32);
}

TEST_F(AdapterListTest, NamesNothingOutsideTheFolder) {
  for (const char* folder : {"../adapters/1", "/etc", "adapters/../..", "adapters/1/..",
                             "adapters/", "adapters", "adapters/.x", "adapters/a\\\\b", ""}) {
    List(fmt::format(R"({{"adapters": [{{"folder": "{}"}}]}})", folder));
    EXPECT_ERROR(Open(), kInvalidArgument, kAdapterList, "folder") << folder;
  }
}

TEST_F(AdapterListTest, ThatIsMalformedIsRefused) {
  for (const char* text : {"[]", "{}", R"({"adapters": []})", R"({"adapters": [1]})",
                           R"({"adapters": [{"folder": "adapters/1", "scale": "x"}]})",
                           R"({"adapters": [{"folder": "adapters/1", "scale": 1e999}]})"}) {
    List(text);
    EXPECT_ERROR(Open(), kInvalidArgument, kAdapterList) << text;
  }
  std::vector<LoraChoice> many(65);
  List(AdapterListText(many));
  EXPECT_ERROR(Open(), kInvalidArgument, kAdapterList, "65");
}

TEST_F(AdapterListTest, AFolderThatIsMissingIsNamed) {
  List(R"({"adapters": [{"folder": "adapters/2"}]})");
  EXPECT_ERROR(Open(), kNotFound, "adapters/2/adapter_config.json");
}

TEST_F(AdapterListTest, OfAGgufIsRefused) {
  const auto source = Open();
  testing::TempDir other;
  WriteFile(other / "m.gguf", "GGUF");
  WriteFile(other / std::string(kAdapterList), R"({"adapters": [{"folder": "adapters/1"}]})");
  testing::WriteTinyAdapter(other / "adapters/1", kDown, 64, 96);
  const auto model = ResolveModel(RealFileSystem(), other.path());
  ASSERT_OK(model);
  EXPECT_EQ(model->adapters.size(), 1u);  // so that opening it refuses them
}

TEST_F(AdapterListTest, AnAdapterOfAnotherModelIsRefusedWithBothNames) {
  testing::WriteTinyAdapter(dir_ / "adapters/1", kDown, 64, 128);
  List(R"({"adapters": [{"folder": "adapters/1"}]})");
  auto model = ResolveModel(RealFileSystem(), dir_.path());
  ASSERT_OK(model);
  model->name = "demo";
  EXPECT_ERROR(OpenModel(RealFileSystem(), *model), kInvalidArgument, "adapters/1", "demo",
               "64 x 128", "64 x 96", "some/base");
}

TEST(LoraChoice, IsAFolderAndAScale) {
  EXPECT_EQ(ParseLoraChoice("a/b")->folder, "a/b");
  EXPECT_EQ(ParseLoraChoice("a/b")->times, 1);
  EXPECT_EQ(ParseLoraChoice("a/b:0.5")->times, 0.5);
  EXPECT_EQ(ParseLoraChoice("a:b")->folder, "a:b");
  EXPECT_EQ(ParseLoraChoice("a:-2")->times, -2);
  EXPECT_EQ(ParseLoraChoice("a/b/:2")->name, "b");
  EXPECT_EQ(ParseLoraChoice("./b")->name, "b");
  EXPECT_ERROR(ParseLoraChoice(":2"), kInvalidArgument, "':2'");
}

}  // namespace
}  // namespace quantfleet::pipeline
