#include "pipeline/artifact/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace quantfleet::pipeline {
namespace {

using ::testing::HasSubstr;

void AddChunk(v1::ArtifactFile& file, std::string_view text, uint32_t size) {
  v1::Chunk& chunk = *file.add_chunks();
  chunk.set_digest(HashText(text).raw());
  chunk.set_size(size);
  file.set_size(file.size() + size);
}

v1::Manifest Sample() {
  v1::Manifest m;
  m.set_format_version(1);
  m.mutable_source()->set_digest(HashText("source").raw());
  m.mutable_source()->set_architecture("phi3");
  m.mutable_source()->set_parameters(42);
  m.mutable_target()->set_format("gguf");
  m.mutable_target()->set_recipe("q4_0");
  v1::ArtifactFile& licence = *m.add_files();
  licence.set_path("LICENSE");
  AddChunk(licence, "l", 11);
  v1::ArtifactFile& model = *m.add_files();
  model.set_path("model.gguf");
  AddChunk(model, "a", 4u << 20);
  AddChunk(model, "b", 7);
  m.mutable_requirements()->set_memory_bytes(1 << 20);
  return m;
}

TEST(Manifest, SameContentSameBytesAndBack) {
  const std::string bytes = SerializeManifest(Sample());
  EXPECT_EQ(bytes, SerializeManifest(Sample()));
  auto parsed = ParseManifest(bytes);
  ASSERT_TRUE(parsed.ok()) << Describe(parsed.status());
  EXPECT_EQ(SerializeManifest(*parsed), bytes);
  EXPECT_EQ(ManifestDigest(*parsed), HashText(bytes));
  EXPECT_EQ(ArtifactBytes(*parsed), 11u + (4u << 20) + 7);
}

// The bytes of version 1 are fixed: a digest that changes would rename every artifact in the field.
TEST(Manifest, DigestIsPinned) {
  EXPECT_EQ(ManifestDigest(Sample()).hex(),
            "d0387e76b41af21387586771807757c4ce1eec4e266011fba777c81da7795ddb");
}

TEST(Manifest, AnEmptyFileHasNoChunk) {
  v1::Manifest m = Sample();
  m.mutable_files(0)->clear_chunks();
  m.mutable_files(0)->set_size(0);
  EXPECT_TRUE(ParseManifest(SerializeManifest(m)).ok());
}

TEST(Manifest, WhatDoesNotAddUpIsRefused) {
  struct Case {
    const char* words;
    std::function<void(v1::Manifest&)> change;
  };
  const auto path = [](std::string text) {
    return [text](v1::Manifest& m) { m.mutable_files(0)->set_path(text); };
  };
  const Case cases[] = {
      {"version", [](auto& m) { m.set_format_version(2); }},
      {"version", [](auto& m) { m.set_format_version(0); }},
      {"digest", [](auto& m) { m.mutable_source()->set_digest("short"); }},
      {"source", [](auto& m) { m.clear_source(); }},
      {"kind 3", [](auto& m) { m.set_kind(static_cast<v1::Manifest::Kind>(3)); }},
      {"recipe", [](auto& m) { m.clear_target(); }},
      {"no file", [](auto& m) { m.clear_files(); }},
      {"relative", path("/etc/passwd")},
      {"relative", path("../x")},
      {"relative", path("A/../../x")},
      {"relative", path("A//x")},
      {"relative", path("A/")},
      {"relative", path("./A")},
      {"not allowed", path("A\\x")},
      {"not allowed", path("C:x")},
      {"not allowed", path(std::string("A\0x", 3))},
      {"path", path("")},
      {"path", path(std::string(600, 'A'))},
      {"reserved for the manifest", [](auto& m) { m.mutable_files(1)->set_path("manifest.pb"); }},
      {"sorted", [](auto& m) { m.mutable_files(1)->set_path("LICENSE"); }},
      {"sorted", [](auto& m) { m.mutable_files(1)->set_path("A"); }},
      {"folder of another", [](auto& m) { m.mutable_files(1)->set_path("LICENSE/x"); }},
      {"add up to", [](auto& m) { m.mutable_files(1)->set_size(8); }},
      {"a chunk has 0 bytes", [](auto& m) { m.mutable_files(1)->mutable_chunks(0)->set_size(0); }},
      {"a chunk has 4194305 bytes",
       [](auto& m) { m.mutable_files(1)->mutable_chunks(0)->set_size((4u << 20) + 1); }},
      {"32 bytes",
       [](auto& m) { m.mutable_target()->set_importance_digest(std::string(31, 'x')); }},
      {"lists 1025 recipe changes",
       [](auto& m) {
         for (int i = 0; i < 1025; ++i) m.mutable_target()->add_changes("pure");
       }},
      {"a recipe change in the manifest has 0 bytes",
       [](auto& m) { m.mutable_target()->add_changes(""); }},
      {"has 513 bytes", [](auto& m) { m.mutable_target()->add_changes(std::string(513, 'a')); }},
      {"32 bytes",
       [](auto& m) { m.mutable_files(1)->mutable_chunks(1)->set_digest(std::string(31, 'x')); }},
  };
  for (const Case& c : cases) {
    v1::Manifest m = Sample();
    c.change(m);
    const auto parsed = ParseManifest(SerializeManifest(m));
    ASSERT_FALSE(parsed.ok()) << c.words;
    EXPECT_TRUE(absl::IsInvalidArgument(parsed.status()));
    EXPECT_THAT(Message(parsed.status()), HasSubstr(c.words));
  }
}

TEST(Manifest, AProgramMaySayThatItIsOne) {
  v1::Manifest m = Sample();
  m.set_kind(v1::Manifest::KIND_PROGRAM);
  const auto parsed = ParseManifest(SerializeManifest(m));
  ASSERT_TRUE(parsed.ok()) << Describe(parsed.status());
  EXPECT_EQ(parsed->kind(), v1::Manifest::KIND_PROGRAM);
}

TEST(Manifest, OneArtifactOneName) {
  const std::string bytes = SerializeManifest(Sample());
  // format_version again, as protobuf's merging rules would allow; a field of a later version;
  // fields out of order.
  for (const std::string& other :
       {bytes + std::string("\x08\x01", 2), bytes + std::string("\x50\x01", 2),
        bytes.substr(2) + bytes.substr(0, 2)}) {
    const auto parsed = ParseManifest(other);
    ASSERT_FALSE(parsed.ok());
    EXPECT_THAT(Message(parsed.status()), HasSubstr("canonical"));
  }
  EXPECT_FALSE(ParseManifest("").ok());
  EXPECT_FALSE(ParseManifest("not a manifest").ok());
  for (size_t n = 0; n < bytes.size(); ++n) {
    // A cut between two fields is another, smaller manifest: under its own name, never under this
    // one.
    const auto cut = ParseManifest(std::string_view(bytes).substr(0, n));
    EXPECT_TRUE(!cut.ok() || ManifestDigest(*cut) == HashText(std::string_view(bytes).substr(0, n)))
        << n;
  }
}

}  // namespace
}  // namespace quantfleet::pipeline
