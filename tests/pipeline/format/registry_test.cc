// Every row of the registry, held to what target_format.h asks of it.
#include "pipeline/format/registry/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "pipeline/artifact/entry_file.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/format/registry/dequantized_source.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/executor.h"
#include "pipeline/stage/folder_sink.h"
#include "pipeline/stage/plan.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using testing::TempDir;

TEST(Formats, EachHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (const TargetFormat* format : Formats()) {
    EXPECT_TRUE(names.insert(format->name).second) << format->name;
    EXPECT_EQ(FindFormat(format->name), format);
    EXPECT_TRUE(IsTargetFormat(format->name));
  }
  EXPECT_EQ(FindFormat("agent"), nullptr);
  EXPECT_EQ(FindFormat(""), nullptr);
  ASSERT_NE(FindFormat(kEngineFormat), nullptr);
  EXPECT_FALSE(FindFormat(kEngineFormat)->stored) << "the engine opens its file as a model";
}

class FormatTest : public ::testing::TestWithParam<const TargetFormat*> {
 protected:
  const TargetFormat& format_ = *GetParam();
};

TEST_P(FormatTest, ItsRecipesAreTargets) {
  ASSERT_FALSE(format_.recipes().empty());
  const auto is_target = [&](std::string_view recipe) {
    return ParseTargetSpec(fmt::format("{}:{}", format_.name, recipe)).ok();
  };
  for (const std::string_view recipe : format_.recipes()) {
    EXPECT_OK(FindRecipe(recipe));
    EXPECT_TRUE(is_target(recipe)) << recipe;
    EXPECT_THAT(ListTargets(), ::testing::HasSubstr(fmt::format("{}:{}", format_.name, recipe)));
  }
  EXPECT_EQ(is_target("int4-g128-asym-pure"), format_.group_options);
  for (const char* recipe : {"int8-exact", "int4-f16", "int8-web", "int4-g64-asym-f16-web"})
    EXPECT_EQ(is_target(recipe), format_.graph_options) << recipe;
  EXPECT_FALSE(is_target("q3"));
}

// What is advised to who has too large values is a type that the format holds, or a target.
TEST_P(FormatTest, TheWiderTypeIsOneThatItHolds) {
  TempDir dir;
  testing::WriteTinyModel(dir / "model", "llama", {});
  const auto source = OpenModel(RealFileSystem(), dir / "model");
  ASSERT_OK(source);
  const Piece& weight = *(*source)->description().Find(Role::kFfnDown, 0);
  const std::string_view name = format_.recipes().back();
  const std::string advice = format_.wider_than_half(*FindRecipe(name), weight);
  if (advice.starts_with(fmt::format("use {}:", format_.name))) {
    const std::string_view other = std::string_view(advice).substr(advice.find(':') + 1);
    ASSERT_TRUE(ParseTargetSpec(fmt::format("{}:{}", format_.name, other)).ok()) << advice;
    EXPECT_OK(format_.plan(**source, *FindRecipe(other), nullptr));
    return;
  }
  for (const std::string_view type : {"bf16", "f32"}) {
    if (!advice.starts_with(fmt::format("keep it in {} ", type))) continue;
    Recipe recipe = *FindRecipe(name);
    recipe.changes.overrides = {*TypeOverride::Parse(fmt::format("role:ffn_down={}", type))};
    EXPECT_OK(format_.plan(**source, recipe, nullptr));
    return;
  }
  ADD_FAILURE() << advice;
}

// Made, its entry file is there, and what it holds is read back: as a model, or tensor by tensor.
TEST_P(FormatTest, WhatItMakesIsReadBack) {
  TempDir dir;
  testing::WriteTinyModel(dir / "model", "llama", {});
  const auto source = OpenModel(RealFileSystem(), dir / "model");
  ASSERT_OK(source);
  const auto plan =
      MakePlan(**source, {{std::string(format_.name), std::string(format_.recipes().back())}});
  ASSERT_OK(plan);
  const auto sink = FolderSink::Open(RealFileSystem(), dir / "made", *plan, {});
  ASSERT_OK(sink);
  const auto made = Execute(**source, *plan, **sink, {});
  ASSERT_OK(made);
  ASSERT_OK((*sink)->Finish(made->manifests));
  const v1::Manifest& manifest = made->manifests[0];
  const fs::path folder = (*sink)->FolderOf(0);
  EXPECT_EQ(manifest.target().format(), format_.name);
  const std::string entry = EntryFile(manifest);
  if (!format_.stored) {
    ASSERT_NE(entry, "");
    EXPECT_OK(OpenModel(RealFileSystem(), folder / entry));
    return;
  }
  std::vector<std::string> paths;
  for (const v1::ArtifactFile& file : manifest.files()) paths.push_back(file.path());
  const auto tensors = format_.stored->list(RealFileSystem(), folder, paths);
  ASSERT_OK(tensors);
  EXPECT_GT(tensors->size(), 10u);
  for (const StoredTensor& tensor : *tensors)
    EXPECT_LE(tensor.offset + tensor.bytes, fs::file_size(folder / tensor.file)) << tensor.name;
  EXPECT_OK(DequantizedSource::Open(RealFileSystem(), folder, paths, format_.name,
                                    (*source)->description()));
}

INSTANTIATE_TEST_SUITE_P(Rows, FormatTest, ::testing::ValuesIn(Formats().begin(), Formats().end()),
                         [](const auto& row) { return std::string(row.param->name); });

}  // namespace
}  // namespace quantfleet::pipeline
