#include "daemon/jobs/model_registry.h"

#include <fstream>

#include "tests/daemon/jobs/jobs_fixture.h"
#include "tests/daemon/store/once.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class ModelRegistryTest : public JobsFixture {
 protected:
  // The tiny model's files, as a client announces them.
  std::vector<PushedFile> Announce() {
    std::vector<PushedFile> files;
    content_.clear();
    for (const auto& entry : fs::recursive_directory_iterator(model_)) {
      if (entry.is_directory()) continue;
      const std::string name = entry.path().lexically_relative(model_).string(),
                        bytes = *RealFileSystem().ReadAll(entry.path());
      files.push_back({name, bytes.size(), HashText(bytes)});
      content_[name] = bytes;
    }
    return files;
  }
  // Sends everything that is missing, in pieces.
  void Send(const ModelRegistry::PushProgress& push) {
    for (const auto& entry : push.files) {
      const std::string& bytes = content_.at(entry.file.path);
      for (size_t at = entry.received; at < bytes.size(); at += 50'000) {
        const auto piece = AsBytes(std::string_view(bytes).substr(at, 50'000));
        ASSERT_TRUE(registry_->WritePush(push.push_id, entry.file.path, at, piece).ok());
      }
    }
    ASSERT_TRUE(registry_->SyncPush(push.push_id).ok());
  }
  absl::StatusOr<v1::Model> PushAll(std::string_view by = {}) {
    QF_ASSIGN_OR_RETURN(const auto push, registry_->BeginPush("", "tiny", Announce()));
    Send(push);
    return registry_->CommitPush(push.push_id, by);
  }
  size_t Entries(const std::string& folder) {
    const auto names = RealFileSystem().List(dir_ / folder);
    return names.ok() ? names->size() : 0;
  }

  std::map<std::string, std::string> content_;
  std::unique_ptr<ModelRegistry> registry_ = MakeRegistry();
};

// 300 pushes of 37 GiB each were begun on a disk of 40.
TEST_F(ModelRegistryTest, WhatOpenPushesMayWriteIsPromisedToThem) {
  const uint64_t most = *RealFileSystem().FreeSpace(dir_.path()) / 10 * 6;
  const auto begin = [&](const std::string& name, uint64_t size) {
    return registry_->BeginPush("", name, {{"model.gguf", size, HashText(name)}}).status();
  };
  ASSERT_OK(begin("first", most));
  EXPECT_ERROR(begin("second", most), kResourceExhausted, "unfinished pushes need");
  EXPECT_THAT(*Once(*store_)->models().ListPushes(), SizeIs(1));
  EXPECT_OK(begin("first", most));  // goes on
  for (int i = 1; i < 64; ++i) ASSERT_OK(begin(fmt::format("small-{}", i), 1));
  EXPECT_ERROR(begin("one-more", 1), kResourceExhausted, "64 pushes are unfinished");
  EXPECT_ERROR(registry_->BeginPush(std::string(3 << 20, 'r'), "m", {{"f", 1, HashText("f")}}),
               kInvalidArgument, "request_id");
}

TEST_F(ModelRegistryTest, ImportDescribesTheModelWhereItStands) {
  const auto model = registry_->Import("r1", "tiny", model_);
  ASSERT_TRUE(model.ok()) << Describe(model.status());
  EXPECT_EQ(model->architecture(), "phi3");
  EXPECT_EQ(model->format(), "safetensors");
  EXPECT_EQ(model->path(), model_.string());
  EXPECT_EQ(model->size_bytes(), model->parameters() * 2);  // BF16
  // The same request answers as before, even when the files have gone.
  fs::remove_all(model_);
  EXPECT_TRUE(registry_->Import("r1", "tiny", model_).ok());
}

TEST_F(ModelRegistryTest, ImportRefusesWhatIsNoModel) {
  EXPECT_EQ(registry_->Import("", "tiny", "relative").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(registry_->Import("", "../x", model_).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(registry_->Import("", "tiny", dir_ / "absent").ok());
  fs::resize_file(model_ / "model.safetensors", 1000);
  EXPECT_FALSE(registry_->Import("", "tiny", model_).ok());
  EXPECT_THAT(*Once(*store_)->models().List(), IsEmpty());
}

TEST_F(ModelRegistryTest, APushBecomesAModelAndCommitMayBeRepeated) {
  const auto push = registry_->BeginPush("r", "tiny", Announce());
  ASSERT_TRUE(push.ok()) << Describe(push.status());
  Send(*push);
  const auto model = registry_->CommitPush(push->push_id);
  ASSERT_TRUE(model.ok()) << Describe(model.status());
  EXPECT_TRUE(fs::exists(fs::path(model->path()) / "config.json"));
  EXPECT_EQ(Entries("incoming"), 0u);
  EXPECT_EQ(registry_->CommitPush(push->push_id)->path(), model->path());
  EXPECT_EQ(registry_->WritePush(push->push_id, "config.json", 0, {}).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(ModelRegistryTest, APushedModelIsRecordedWithoutTheNameOfTheDataFolder) {
  const auto push = registry_->BeginPush("r", "tiny", Announce());
  ASSERT_TRUE(push.ok());
  Send(*push);
  const auto model = registry_->CommitPush(push->push_id);
  ASSERT_TRUE(model.ok()) << Describe(model.status());
  const std::string recorded = Once(*store_)->models().Get("tiny")->path();
  EXPECT_EQ(recorded, "models/tiny-" + push->push_id);
  EXPECT_EQ(model->path(), (dir_ / recorded).string());
  EXPECT_THAT(model->notes(), Not(Contains(HasSubstr("data folder"))));
}

// As after a restore of a backup that left them out.
TEST_F(ModelRegistryTest, FilesThatAreGoneAreSaidAndPushingThemAgainPutsThemBack) {
  const auto send = [&](const char* request) {
    const auto push = registry_->BeginPush(request, "tiny", Announce());
    EXPECT_OK(push.status());
    Send(*push);
    return *registry_->CommitPush(push->push_id);
  };
  const v1::Model first = send("r1");
  fs::remove_all(first.path());
  const v1::Model shown = registry_->Shown(*Once(*store_)->models().Get("tiny"));
  EXPECT_THAT(shown.notes(), Contains(HasSubstr("model push tiny")));
  MakeRunner();
  EXPECT_ERROR(runner_->Submit("", "tiny", {"iot"}), kFailedPrecondition, "model push tiny");
  const v1::Model again = send("r2");
  EXPECT_EQ(again.version(), first.version());
  EXPECT_EQ(again.path(), first.path());
  EXPECT_TRUE(fs::exists(fs::path(first.path()) / "config.json"));
  EXPECT_EQ(Entries("incoming"), 0u);
  ASSERT_OK(registry_->Sweep());
  EXPECT_EQ(RunToEnd(Submit({"iot"})).state(), v1::Job::SUCCEEDED);
}

TEST_F(ModelRegistryTest, APushGoesOnAfterARestart) {
  const auto files = Announce();
  const auto push = registry_->BeginPush("r1", "tiny", files);
  ASSERT_TRUE(push.ok());
  const std::string& weights = content_.at("model.safetensors");
  ASSERT_TRUE(
      registry_->WritePush(push->push_id, "model.safetensors", 0, AsBytes(weights.substr(0, 1234)))
          .ok());
  registry_ = MakeRegistry();

  const auto again = registry_->BeginPush("r2", "tiny", files);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->push_id, push->push_id);
  for (const auto& entry : again->files)
    EXPECT_EQ(entry.received, entry.file.path == "model.safetensors" ? 1234u : 0u)
        << entry.file.path;
  // A client that has not heard goes on from the wrong place, and is told the right one.
  const auto gap = registry_->WritePush(push->push_id, "model.safetensors", 2000, AsBytes("x"));
  EXPECT_EQ(gap.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(Message(gap), HasSubstr("1234"));
  Send(*again);
  EXPECT_TRUE(registry_->CommitPush(again->push_id).ok());
}

TEST_F(ModelRegistryTest, ACommitThatWasCutAfterTheRenameIsFinished) {
  const auto push = registry_->BeginPush("", "tiny", Announce());
  ASSERT_TRUE(push.ok());
  Send(*push);
  fs::create_directories(dir_ / "models");
  fs::rename(dir_ / ("incoming/" + push->push_id), dir_ / ("models/tiny-" + push->push_id));
  registry_ = MakeRegistry();
  ASSERT_TRUE(registry_->Sweep().ok());
  const auto again = registry_->BeginPush("", "tiny", Announce());
  ASSERT_TRUE(again.ok());
  for (const auto& entry : again->files) EXPECT_EQ(entry.received, entry.file.size);
  EXPECT_TRUE(registry_->CommitPush(push->push_id).ok());
}

TEST_F(ModelRegistryTest, AWrongDigestIsNamedAndOnlyThatFileIsSentAgain) {
  auto files = Announce();
  const auto push = registry_->BeginPush("", "tiny", files);
  ASSERT_TRUE(push.ok());
  content_.at("config.json")[0] ^= 1;
  Send(*push);
  const auto refused = registry_->CommitPush(push->push_id);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(refused.status()), HasSubstr("config.json"));
  EXPECT_THAT(*Once(*store_)->models().List(), IsEmpty());

  const auto again = registry_->BeginPush("", "tiny", Announce());
  ASSERT_TRUE(again.ok());
  for (const auto& entry : again->files)
    EXPECT_EQ(entry.received, entry.file.path == "config.json" ? 0u : entry.file.size)
        << entry.file.path;
  Send(*again);
  EXPECT_TRUE(registry_->CommitPush(again->push_id).ok());
}

TEST_F(ModelRegistryTest, AnIncompletePushIsNotCommitted) {
  const auto push = registry_->BeginPush("", "tiny", Announce());
  ASSERT_TRUE(push.ok());
  EXPECT_EQ(registry_->CommitPush(push->push_id).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(registry_->CommitPush("pnone").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ModelRegistryTest, FilesThatAreNoModelAreRefused) {
  const std::string text = "not a model";
  const auto push =
      registry_->BeginPush("", "tiny", {{"config.json", text.size(), HashText(text)}});
  ASSERT_TRUE(push.ok());
  ASSERT_TRUE(registry_->WritePush(push->push_id, "config.json", 0, AsBytes(text)).ok());
  EXPECT_FALSE(registry_->CommitPush(push->push_id).ok());
  EXPECT_THAT(*Once(*store_)->models().List(), IsEmpty());
  EXPECT_EQ(Entries("models"), 0u);
}

TEST_F(ModelRegistryTest, PathsThatLeaveTheFolderAreRefused) {
  for (const char* path :
       {"../x", "/etc/passwd", "a/../../x", "a//b", "", ".", "a/.hidden", "a\\b", "a/", "x\n"}) {
    const auto push = registry_->BeginPush("", "tiny", {{path, 1, HashText("x")}});
    EXPECT_EQ(push.status().code(), absl::StatusCode::kInvalidArgument) << path;
  }
  const auto push = registry_->BeginPush("", "tiny", Announce());
  ASSERT_TRUE(push.ok());
  EXPECT_EQ(registry_->WritePush(push->push_id, "../../escape", 0, AsBytes("x")).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(fs::exists(dir_ / "escape"));
}

TEST_F(ModelRegistryTest, SizesAreBounded) {
  const Digest any = HashText("x");
  auto begin = [&](std::vector<PushedFile> files) {
    return registry_->BeginPush("", "tiny", files).status();
  };
  EXPECT_EQ(begin({}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(begin({{"a", ~0ull, any}, {"b", 2, any}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(begin({{"a", 1, any}, {"a", 1, any}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(begin({{"a", 1, any}, {"a/b", 1, any}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(begin({{"a", uint64_t{3} << 40, any}}).code(), absl::StatusCode::kResourceExhausted);
  const auto push = registry_->BeginPush("", "tiny", {{"a", 3, any}});
  ASSERT_TRUE(push.ok());
  EXPECT_EQ(registry_->WritePush(push->push_id, "a", 0, AsBytes("four")).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(registry_->WritePush(push->push_id, "a", 0, Bytes((1 << 20) + 1)).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ModelRegistryTest, AFullDiskLeavesThePushWhereItWas) {
  const auto push = registry_->BeginPush("", "tiny", Announce());
  ASSERT_TRUE(push.ok());
  files_.SetWriteBudget(0);
  EXPECT_EQ(registry_->WritePush(push->push_id, "config.json", 0, AsBytes("{}")).code(),
            absl::StatusCode::kResourceExhausted);
  files_.SetWriteBudget(int64_t{1} << 40);
  Send(*push);
  EXPECT_TRUE(registry_->CommitPush(push->push_id).ok());
}

TEST_F(ModelRegistryTest, ANewVersionReplacesTheOldOnceNoJobReadsIt) {
  const auto first = PushAll();
  ASSERT_TRUE(first.ok()) << Describe(first.status());
  MakeRunner();
  const std::string job = Submit({"iot"});
  WriteModel(2);
  const auto second = PushAll();
  ASSERT_TRUE(second.ok()) << Describe(second.status());
  EXPECT_NE(first->path(), second->path());
  EXPECT_EQ(registry_->Shown(*Once(*store_)->models().Get("tiny")).path(), second->path());
  EXPECT_TRUE(fs::exists(first->path()));

  ASSERT_EQ(RunToEnd(job).state(), v1::Job::SUCCEEDED);
  ASSERT_TRUE(registry_->Sweep().ok());
  EXPECT_FALSE(fs::exists(first->path()));
  EXPECT_TRUE(fs::exists(second->path()));
}

TEST_F(ModelRegistryTest, OtherFilesMakeTheNextVersionAndTheSameFilesDoNot) {
  const auto first = PushAll("ann");
  ASSERT_TRUE(first.ok()) << Describe(first.status());
  EXPECT_EQ(first->version(), 1u);
  EXPECT_EQ(first->created_by(), "ann");
  EXPECT_EQ(first->files_digest().size(), 32u);
  const auto same = PushAll("bob");
  ASSERT_TRUE(same.ok()) << Describe(same.status());
  EXPECT_EQ(same->version(), 1u);
  EXPECT_EQ(same->created_by(), "ann");
  EXPECT_EQ(same->path(), first->path());
  EXPECT_TRUE(fs::exists(first->path()));
  EXPECT_EQ(Entries("incoming"), 0u);
  EXPECT_EQ(Entries("models"), 1u);

  WriteModel(2);
  clock_.Advance(std::chrono::hours(1));
  const auto second = PushAll("bob");
  ASSERT_TRUE(second.ok()) << Describe(second.status());
  EXPECT_EQ(second->version(), 2u);
  EXPECT_EQ(second->created_by(), "bob");
  EXPECT_NE(second->files_digest(), first->files_digest());
  const auto versions = Once(*store_)->models().ListVersions("tiny");
  ASSERT_TRUE(versions.ok());
  ASSERT_EQ(versions->size(), 2u);
  EXPECT_EQ((*versions)[0].version(), 2u);
  EXPECT_EQ((*versions)[1].files_digest(), first->files_digest());
  EXPECT_EQ(Once(*store_)->models().Get("tiny")->version(), 2u);
}

TEST_F(ModelRegistryTest, FilesThatAnEarlierVersionHasAreNotSentAgain) {
  ASSERT_TRUE(PushAll().ok());
  WriteModel(2);
  const auto push = registry_->BeginPush("", "tiny", Announce());
  ASSERT_TRUE(push.ok()) << Describe(push.status());
  for (const auto& entry : push->files)
    EXPECT_EQ(entry.received, entry.file.path == "model.safetensors" ? 0 : entry.file.size)
        << entry.file.path;
  Send(*push);
  const auto model = registry_->CommitPush(push->push_id);
  ASSERT_TRUE(model.ok()) << Describe(model.status());
  EXPECT_EQ(model->version(), 2u);
  // Of another model, too.
  const auto other = registry_->BeginPush("", "other", Announce());
  ASSERT_TRUE(other.ok());
  for (const auto& entry : other->files) EXPECT_EQ(entry.received, entry.file.size);
}

// As `model push --lora` sends one.
void AddAdapter(const fs::path& model, int64_t cols = 96) {
  testing::WriteTinyAdapter(model / "adapters/1", "model.layers.0.mlp.down_proj", 64, cols);
  testing::WriteFile(model / "quantfleet-adapters.json",
                     R"({"adapters": [{"folder": "adapters/1", "name": "tone", "scale": 0.5}]})");
}

TEST_F(ModelRegistryTest, AnAdapterComesAloneWhereTheBaseIsThere) {
  ASSERT_OK(PushAll());
  AddAdapter(model_);
  for (const char* const name : {"tuned", "tiny"}) {
    const auto push = registry_->BeginPush("", name, Announce());
    ASSERT_OK(push);
    uint64_t sent = 0;
    for (const auto& entry : push->files) {
      const bool of_base = entry.file.path.find("adapter") == std::string::npos;
      if (std::string(name) == "tuned")  // nobody has the adapter yet
        EXPECT_EQ(entry.received, of_base ? entry.file.size : 0) << entry.file.path;
      else
        EXPECT_EQ(entry.received, entry.file.size) << entry.file.path;
      sent += entry.file.size - entry.received;
    }
    EXPECT_LT(sent, 4096u);
    Send(*push);
    const auto model = registry_->CommitPush(push->push_id);
    ASSERT_OK(model);
    ASSERT_EQ(model->adapters_size(), 1);
    EXPECT_EQ(model->adapters(0).name(), "tone");
    EXPECT_EQ(model->adapters(0).scale(), 0.5);
    EXPECT_EQ(model->adapters(0).base_model(), "some/base");
    EXPECT_EQ(model->adapters(0).weights(), 1u);
  }
  EXPECT_EQ(Once(*store_)->models().Get("tiny")->version(), 2u);
}

TEST_F(ModelRegistryTest, AnArtifactWithAnAdapterSharesWhatTheAdapterDoesNotChange) {
  const auto chunks_of = [&](const v1::Job& job) {
    std::set<std::string> chunks;
    const auto artifact = Once(*store_)->artifacts().Get(job.artifacts(0));
    v1::Manifest manifest;
    EXPECT_TRUE(artifact.ok() && manifest.ParseFromString(artifact->manifest));
    for (const v1::ArtifactFile& file : manifest.files())
      for (const v1::Chunk& chunk : file.chunks()) chunks.insert(chunk.digest());
    return chunks;
  };
  ASSERT_OK(PushAll());
  MakeRunner();
  const v1::Job base = RunToEnd(Submit({"iot"}));
  AddAdapter(model_);
  ASSERT_OK(PushAll());
  MakeRunner();
  const v1::Job tuned = RunToEnd(Submit({"iot"}));
  ASSERT_EQ(tuned.state(), v1::Job::SUCCEEDED) << tuned.error_message();
  EXPECT_NE(tuned.artifacts(0), base.artifacts(0));
  std::set<std::string> of_base = chunks_of(base), of_tuned = chunks_of(tuned), both;
  std::ranges::set_intersection(of_base, of_tuned, std::inserter(both, both.end()));
  // The one weight differs; the file's header is the same.
  EXPECT_EQ(both.size(), of_base.size() - 1);
  EXPECT_EQ(of_tuned.size(), of_base.size());
}

TEST_F(ModelRegistryTest, AnAdapterOfAnotherModelIsRefusedWithBothNames) {
  AddAdapter(model_, 128);
  const auto push = registry_->BeginPush("", "tiny", Announce());
  ASSERT_OK(push);
  Send(*push);
  EXPECT_ERROR(registry_->CommitPush(push->push_id), kInvalidArgument, "adapters/1", "of tiny",
               "some/base");
  EXPECT_THAT(*Once(*store_)->models().List(), IsEmpty());
  EXPECT_EQ(Entries("models"), 0u);
}

// One that was imported, and is another by the time a job reads it.
TEST_F(ModelRegistryTest, AnAdapterThatChangedFailsTheJobWithBothNames) {
  AddAdapter(model_);
  ASSERT_OK(registry_->Import("", "tiny", model_));
  AddAdapter(model_, 128);
  MakeRunner();
  const v1::Job job = RunToEnd(Submit({"iot"}));
  EXPECT_EQ(job.state(), v1::Job::FAILED);
  EXPECT_THAT(job.error_message(), testing::Names("adapters/1", "of tiny", "some/base"));
  EXPECT_EQ(job.artifacts_size(), 0);
}

TEST_F(ModelRegistryTest, APlannedPushSaysWhatIsThereAndLeavesNothing) {
  const auto received = [](const ModelRegistry::PushProgress& progress) {
    std::map<std::string, uint64_t> bytes;
    for (const auto& entry : progress.files) bytes[entry.file.path] = entry.received;
    return bytes;
  };
  ASSERT_OK(PushAll());
  AddAdapter(model_);
  const auto plan = registry_->PlanPush("other", Announce());
  ASSERT_OK(plan);
  EXPECT_EQ(plan->push_id, "");
  EXPECT_THAT(*Once(*store_)->models().ListPushes(), SizeIs(1));  // the one that was committed
  EXPECT_EQ(Entries("incoming"), 0u);
  const auto push = registry_->BeginPush("", "other", Announce());
  ASSERT_OK(push);
  EXPECT_EQ(received(*plan), received(*push));
  // Of one that has begun, where it would go on.
  const std::string_view part =
      std::string_view(content_.at("adapters/1/adapter_model.safetensors")).substr(0, 100);
  ASSERT_OK(registry_->WritePush(push->push_id, "adapters/1/adapter_model.safetensors", 0,
                                 AsBytes(part)));
  const auto later = registry_->PlanPush("other", Announce());
  ASSERT_OK(later);
  EXPECT_EQ(received(*later).at("adapters/1/adapter_model.safetensors"), 100u);
  EXPECT_ERROR(registry_->PlanPush("../x", Announce()), kInvalidArgument, "../x");
  EXPECT_ERROR(registry_->PlanPush("x", {{"m.gguf", uint64_t{3} << 40, HashText("x")}}),
               kResourceExhausted, "free");
}

TEST_F(ModelRegistryTest, AKnownFileThatIsDamagedIsSentAfterAll) {
  const auto first = PushAll();
  ASSERT_TRUE(first.ok());
  std::ofstream(fs::path(first->path()) / "tokenizer.model", std::ios::in | std::ios::out) << "x";
  WriteModel(2);
  const auto push = registry_->BeginPush("", "tiny", Announce());
  ASSERT_TRUE(push.ok());
  Send(*push);
  const auto refused = registry_->CommitPush(push->push_id);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(refused.status()), HasSubstr("tokenizer.model"));
  const auto again = registry_->BeginPush("", "tiny", Announce());
  ASSERT_TRUE(again.ok());
  Send(*again);
  EXPECT_EQ(registry_->CommitPush(again->push_id)->version(), 2u);
}

TEST_F(ModelRegistryTest, ACommitThatIsRepeatedLateAnswersItsOwnVersion) {
  const auto push = registry_->BeginPush("", "tiny", Announce());
  ASSERT_TRUE(push.ok());
  Send(*push);
  ASSERT_TRUE(registry_->CommitPush(push->push_id).ok());
  WriteModel(2);
  ASSERT_TRUE(PushAll().ok());
  EXPECT_EQ(registry_->CommitPush(push->push_id)->version(), 1u);
}

TEST_F(ModelRegistryTest, AnImportIsAVersionUnlessTheFilesAreTheSame) {
  EXPECT_EQ(registry_->Import("r1", "tiny", model_, "ann")->version(), 1u);
  EXPECT_EQ(registry_->Import("r2", "tiny", model_, "bob")->version(), 1u);
  WriteModel(2);
  const auto second = registry_->Import("r3", "tiny", model_, "bob");
  ASSERT_TRUE(second.ok()) << Describe(second.status());
  EXPECT_EQ(second->version(), 2u);
  EXPECT_EQ(second->created_by(), "bob");
  EXPECT_EQ(registry_->Import("r1", "tiny", model_, "ann")->version(), 1u);
  // A push of the same files is known by the same digest.
  EXPECT_EQ(PushAll()->files_digest(), second->files_digest());
}

TEST_F(ModelRegistryTest, AVersionTellsItsFilesAndWhatIsNotRead) {
  std::ofstream(model_ / "consolidated.safetensors") << "x";
  const auto model = registry_->Import("", "tiny", model_);
  ASSERT_TRUE(model.ok()) << Describe(model.status());
  std::vector<std::string> names;
  for (const v1::ModelFile& file : model->files()) names.push_back(file.path());
  EXPECT_THAT(names, ::testing::ElementsAre("LICENSE", "config.json", "model.safetensors",
                                            "tokenizer.model", "tokenizer_config.json"));
  EXPECT_EQ(model->files(2).part(), "weights");
  EXPECT_THAT(model->notes(),
              ::testing::ElementsAre("the weights are model.safetensors",
                                     HasSubstr("not read: consolidated.safetensors")));
}

TEST_F(ModelRegistryTest, ANameOfTheHubGetsTheCommandThatDownloadsIt) {
  EXPECT_THAT(Message(registry_->Import("", "tiny", "microsoft/phi").status()),
              HasSubstr("hf download microsoft/phi"));
}

TEST_F(ModelRegistryTest, ArtifactsBelongToTheVersionThatTheJobRead) {
  ASSERT_TRUE(PushAll().ok());
  MakeRunner();
  const std::string job = Submit({"iot"});
  WriteModel(2);
  ASSERT_TRUE(PushAll().ok());
  const v1::Job done = RunToEnd(job);
  EXPECT_EQ(done.model_version(), 1u);
  ASSERT_EQ(done.state(), v1::Job::SUCCEEDED) << done.error_message();
  const auto artifacts = Once(*store_)->artifacts().List("tiny");
  ASSERT_TRUE(artifacts.ok());
  ASSERT_EQ(artifacts->size(), 1u);
  EXPECT_THAT((*artifacts)[0].versions(), ::testing::ElementsAre(1u));
  EXPECT_FALSE((*artifacts)[0].no_tokenizer());
}

TEST_F(ModelRegistryTest, AnArtifactWithoutTokenizerSaysSo) {
  fs::remove(model_ / "tokenizer.model");
  fs::remove(model_ / "tokenizer_config.json");
  const auto model = registry_->Import("", "tiny", model_);
  ASSERT_TRUE(model.ok()) << Describe(model.status());
  EXPECT_THAT(model->notes(), ::testing::Contains(HasSubstr("no tokenizer")));
  MakeRunner();
  ASSERT_EQ(RunToEnd(Submit({"iot"})).state(), v1::Job::SUCCEEDED);
  EXPECT_TRUE(Once(*store_)->artifacts().List("tiny")->at(0).no_tokenizer());
}

TEST_F(ModelRegistryTest, APushThatNobodyFinishesGoesAfterAWeek) {
  const auto push = registry_->BeginPush("", "tiny", Announce());
  ASSERT_TRUE(push.ok());
  ASSERT_TRUE(registry_->WritePush(push->push_id, "config.json", 0, AsBytes("{}")).ok());
  registry_ = MakeRegistry();
  clock_.Advance(std::chrono::hours(24 * 6));
  ASSERT_TRUE(registry_->Sweep().ok());
  EXPECT_EQ(Entries("incoming"), 1u);
  clock_.Advance(std::chrono::hours(24 * 2));
  ASSERT_TRUE(registry_->Sweep().ok());
  EXPECT_EQ(Entries("incoming"), 0u);
  EXPECT_THAT(*Once(*store_)->models().ListPushes(), IsEmpty());
}

TEST(ModelNameTest, NamesBecomePartsOfPaths) {
  for (const std::string& name :
       {std::string("tiny"), std::string("Phi-3.5_mini"), std::string(63, 'a')})
    EXPECT_TRUE(CheckModelName(name).ok()) << name;
  for (const char* name : {"", ".", "..", "-x", "a/b", "a b", "a\n", "ä"})
    EXPECT_FALSE(CheckModelName(name).ok()) << name;
  EXPECT_FALSE(CheckModelName(std::string(64, 'a')).ok());
}

}  // namespace
}  // namespace quantfleet::daemon
