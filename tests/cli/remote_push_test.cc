#include "cli/remote_push.h"

#include <gtest/gtest.h>

#include <map>

#include "cli/lora_option.h"
#include "common/base/digest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::cli {
namespace {

using Code = absl::StatusCode;

// A daemon that keeps what arrives, and fails as the test says.
class FakeDaemon final : public PushPort {
 public:
  absl::StatusOr<v1::PushState> BeginPush(const v1::BeginPushRequest& request) override {
    ++begins;
    if (begin_error.code() != Code::kOk && begins > 1) return begin_error;
    files_ = request;
    v1::PushState state = State();
    if (request.dry_run() && !is_old) state.clear_push_id();
    return state;
  }
  absl::StatusOr<v1::PushState> WritePush(const NextPiece& next) override {
    ++streams;
    v1::PushData piece;
    for (int pieces = 0;; ++pieces) {
      QF_ASSIGN_OR_RETURN(const bool more, next(piece));
      if (!more) return State();
      if (pieces == cut_after) return write_error;
      std::string& content = received[piece.path()];
      EXPECT_EQ(piece.push_id(), "p1");
      EXPECT_EQ(piece.offset(), content.size());
      EXPECT_LE(piece.data().size(), size_t{1} << 20);
      EXPECT_GT(piece.data().size(), 0u);
      content += piece.data();
      bytes_sent += piece.data().size();
    }
  }
  absl::StatusOr<v1::Model> CommitPush(const v1::CommitPushRequest& request) override {
    EXPECT_EQ(request.push_id(), "p1");
    if (commits++ < failing_commits) return Unavailable("cut");
    for (const v1::PushFile& file : files_.files()) {
      if (HashText(received[file.path()]).raw() != file.sha256())
        return DataLoss("{}: wrong digest", file.path());
    }
    v1::Model model;
    model.set_name(files_.name());
    return model;
  }

  std::map<std::string, std::string> received;
  int begins = 0, streams = 0, commits = 0;
  int cut_after = -1;  // pieces of each stream
  int failing_commits = 0;
  bool is_old = false;  // knows nothing of dry runs
  absl::Status write_error = Unavailable("cut"), begin_error;
  uint64_t bytes_sent = 0;

 private:
  v1::PushState State() {
    v1::PushState state;
    state.set_push_id("p1");
    for (const v1::PushFile& file : files_.files()) {
      v1::PushFile& entry = *state.add_files();
      entry = file;
      entry.set_received(received[file.path()].size());
    }
    return state;
  }
  v1::BeginPushRequest files_;
};

class PushTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const auto& [name, size] : {std::pair<std::string, size_t>{"config.json", 700},
                                     {"LICENSE", 0},
                                     {"model.safetensors", (5 << 20) + 123},
                                     {"tokenizer.model", 3000}}) {
      std::string content(size, '\0');
      for (size_t i = 0; i < size; ++i) content[i] = static_cast<char>(i * 2654435761u >> 11);
      Write(name, content);
      total_ += size;
    }
  }
  void Write(const std::string& name, std::string_view content) {
    ASSERT_TRUE(RealFileSystem().WriteAtomically(dir_ / name, AsBytes(content)).ok());
  }
  absl::StatusOr<std::vector<LocalFile>> Files() {
    QF_ASSIGN_OR_RETURN(const pipeline::ModelFiles model,
                        pipeline::ResolveModel(RealFileSystem(), dir_.path()));
    return FilesToPush(model);
  }
  absl::StatusOr<v1::Model> Run() {
    const auto files = Files();
    QF_RETURN_IF_ERROR(files.status());
    return Push(RealFileSystem(), daemon_, *files,
                {.name = "demo",
                 .request_id = "r",
                 .on_progress =
                     [this](std::string_view doing, uint64_t done, uint64_t total) {
                       EXPECT_LE(done, total);
                       EXPECT_EQ(total, total_);
                       last_ = doing;
                     },
                 .wait = [this](Duration time) { waited_ += time; }});
  }

  testing::TempDir dir_;
  FakeDaemon daemon_;
  uint64_t total_ = 0;
  Duration waited_{};
  std::string last_;
};

TEST_F(PushTest, SendsEveryFileOnce) {
  const auto model = Run();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->name(), "demo");
  EXPECT_EQ(daemon_.bytes_sent, total_);
  EXPECT_EQ(daemon_.streams, 1);
  EXPECT_EQ(daemon_.begins, 1);
  EXPECT_EQ(last_, "committing");
  EXPECT_EQ(waited_, Duration(0));
}

TEST_F(PushTest, GoesOnAfterACut) {
  daemon_.cut_after = 2;  // each stream gets two pieces through
  const auto model = Run();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(daemon_.bytes_sent, total_) << "nothing is sent twice";
  EXPECT_EQ(daemon_.streams, 4);
  EXPECT_GT(waited_, Duration(0));
}

TEST_F(PushTest, GoesOnWhereAnEarlierPushStopped) {
  daemon_.received["tokenizer.model"] =
      RealFileSystem().ReadAll(dir_ / "tokenizer.model")->substr(0, 1000);
  daemon_.received["config.json"] = *RealFileSystem().ReadAll(dir_ / "config.json");
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(daemon_.bytes_sent, total_ - 1700);
}

TEST_F(PushTest, NothingIsSentThatTheDaemonHas) {
  ASSERT_TRUE(Run().ok());
  const uint64_t sent = daemon_.bytes_sent;
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(daemon_.bytes_sent, sent);
  EXPECT_EQ(daemon_.streams, 1);
}

TEST_F(PushTest, GivesUpWhenNothingGetsThrough) {
  daemon_.cut_after = 0;
  EXPECT_EQ(Run().status().code(), Code::kUnavailable);
  EXPECT_EQ(daemon_.streams, 10);
  EXPECT_LT(waited_, std::chrono::minutes(3));
}

TEST_F(PushTest, SurvivesADaemonThatIsAwayForAWhile) {
  daemon_.cut_after = 1;
  daemon_.begin_error = Unavailable("away");
  EXPECT_EQ(Run().status().code(), Code::kUnavailable);
  EXPECT_EQ(daemon_.streams, 1);
  EXPECT_EQ(daemon_.begins, 10);
  daemon_.begin_error = absl::OkStatus();
  EXPECT_TRUE(Run().ok());
}

TEST_F(PushTest, AnErrorThatStaysEndsItAtOnce) {
  daemon_.cut_after = 1;
  daemon_.write_error = ResourceExhausted("disk full");
  EXPECT_EQ(Run().status().code(), Code::kResourceExhausted);
  EXPECT_EQ(daemon_.streams, 1);
  EXPECT_EQ(daemon_.commits, 0);
}

TEST_F(PushTest, CommitIsRepeatedWhenItsAnswerIsLost) {
  daemon_.failing_commits = 2;
  EXPECT_TRUE(Run().ok());
  EXPECT_EQ(daemon_.commits, 3);
}

TEST_F(PushTest, AFileThatShrinksMeanwhileIsAnError) {
  const auto files = Files();
  ASSERT_TRUE(files.ok());
  Write("config.json", "{}");
  const auto status = Push(RealFileSystem(), daemon_, *files,
                           {.name = "demo",
                            .request_id = "r",
                            .on_progress = [](auto, auto, auto) {},
                            .wait = [](auto) {}})
                          .status();
  EXPECT_EQ(status.code(), Code::kAborted);
  EXPECT_NE(Message(status).find("config.json"), std::string::npos);
}

TEST_F(PushTest, LinksAreFollowed) {
  fs::rename(dir_ / "model.safetensors", dir_ / "blob");
  fs::create_symlink("blob", dir_ / "model.safetensors");
  const auto files = Files();
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(std::ranges::count(*files, "model.safetensors", &LocalFile::name), 1);
}

TEST_F(PushTest, AGgufIsSentUnderANameThatSaysSo) {
  Write("m.gguf", "GGUF");
  fs::create_symlink("m.gguf", dir_ / "sha256-0a1b");
  for (const auto& [file, name] :
       {std::pair("m.gguf", "m.gguf"), {"sha256-0a1b", "sha256-0a1b.gguf"}}) {
    const auto model = pipeline::ResolveModel(RealFileSystem(), dir_ / file);
    ASSERT_TRUE(model.ok()) << model.status();
    const std::vector<LocalFile> files = FilesToPush(*model);
    ASSERT_EQ(files.size(), 1u);
    EXPECT_EQ(files[0].name, name);
  }
}

TEST_F(PushTest, ASplitGgufIsSentWhole) {
  const std::vector<std::string> shards{"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"};
  for (const std::string& shard : shards) Write(shard, "GGUF");
  const auto model = pipeline::ResolveModel(RealFileSystem(), dir_ / shards[1]);
  ASSERT_TRUE(model.ok()) << model.status();
  std::vector<std::string> names;
  for (const LocalFile& file : FilesToPush(*model)) names.push_back(file.name);
  EXPECT_EQ(names, shards);
}

class PushAdaptersTest : public PushTest {
 protected:
  absl::StatusOr<std::vector<LocalFile>> FilesWith(const std::vector<std::string>& lora) {
    QF_ASSIGN_OR_RETURN(const pipeline::ModelFiles model,
                        ResolveModelWith(RealFileSystem(), dir_.path(), lora));
    return FilesToPush(model);
  }
  PushOptions Options() {
    return {.name = "demo",
            .request_id = "r",
            .with_adapters = true,
            .on_progress = [](std::string_view, uint64_t, uint64_t) {},
            .wait = [](Duration) {}};
  }
  testing::TempDir adapters_;
};

TEST_F(PushAdaptersTest, GoInFoldersOfTheirOwnWithAListThatNamesTheirScales) {
  testing::WriteTinyAdapter(adapters_ / "tone", "q", 4, 4);
  testing::WriteTinyAdapter(adapters_ / "domain", "q", 4, 4, 0.25F);
  const auto files =
      FilesWith({(adapters_ / "tone").string(), (adapters_ / "domain").string() + ":0.5"});
  ASSERT_TRUE(files.ok()) << files.status();
  const auto model = Push(RealFileSystem(), daemon_, *files, Options());
  ASSERT_TRUE(model.ok()) << model.status();
  for (const auto& [number, name] : {std::pair("1", "tone"), {"2", "domain"}})
    for (const char* part : {"adapter_config.json", "adapter_model.safetensors"})
      EXPECT_EQ(daemon_.received[fmt::format("adapters/{}/{}", number, part)],
                *RealFileSystem().ReadAll(adapters_ / name / part));
  // What arrived is what the daemon reads.
  testing::TempDir there;
  for (const auto& [name, content] : daemon_.received) {
    fs::create_directories((there / name).parent_path());
    testing::WriteFile(there / name, content);
  }
  const auto again = pipeline::ResolveModel(RealFileSystem(), there.path());
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_EQ(again->adapters.size(), 2u);
  EXPECT_EQ(again->adapters[0].name, "tone");
  EXPECT_EQ(again->adapters[0].times, 1);
  EXPECT_EQ(again->adapters[1].name, "domain");
  EXPECT_EQ(again->adapters[1].times, 0.5);
  EXPECT_EQ(again->adapters[1].folder, there / "adapters/2");
}

TEST_F(PushAdaptersTest, OfAFolderThatHasSomeAreSentBeforeThoseThatAreAdded) {
  testing::WriteTinyAdapter(dir_ / "adapters/mine", "q", 4, 4);
  Write("quantfleet-adapters.json", R"({"adapters": [{"folder": "adapters/mine"}]})");
  testing::WriteTinyAdapter(adapters_ / "tone", "q", 4, 4, 0.25F);
  const auto files = FilesWith({(adapters_ / "tone").string()});
  ASSERT_TRUE(files.ok()) << files.status();
  std::map<std::string, fs::path> paths;
  for (const LocalFile& file : *files) EXPECT_TRUE(paths.emplace(file.name, file.path).second);
  EXPECT_EQ(paths.at("adapters/1/adapter_config.json"), dir_ / "adapters/mine/adapter_config.json");
  EXPECT_EQ(paths.at("adapters/2/adapter_config.json"), adapters_ / "tone/adapter_config.json");
  EXPECT_EQ(paths.count("adapters/mine/adapter_config.json"), 0u);
}

TEST_F(PushAdaptersTest, APlanSendsNothing) {
  testing::WriteTinyAdapter(adapters_ / "tone", "q", 4, 4);
  daemon_.received["model.safetensors"] = std::string((5 << 20) + 123, 'x');
  const auto files = FilesWith({(adapters_ / "tone").string()});
  ASSERT_TRUE(files.ok()) << files.status();
  const auto plan = PlanPush(RealFileSystem(), daemon_, *files, Options());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->files_size(), static_cast<int>(files->size()));
  EXPECT_EQ(daemon_.streams, 0);
  EXPECT_EQ(daemon_.commits, 0);
}

// It would have made a version of the base alone.
TEST_F(PushAdaptersTest, AreNotSentToADaemonThatWouldIgnoreThem) {
  testing::WriteTinyAdapter(adapters_ / "tone", "q", 4, 4);
  const auto files = FilesWith({(adapters_ / "tone").string()});
  ASSERT_TRUE(files.ok()) << files.status();
  daemon_.is_old = true;
  EXPECT_ERROR(Push(RealFileSystem(), daemon_, *files, Options()), kFailedPrecondition, "update");
  EXPECT_EQ(daemon_.streams, 0);
  EXPECT_EQ(daemon_.commits, 0);
}

TEST_F(PushAdaptersTest, ThatAreNotThereAreNamed) {
  EXPECT_ERROR(FilesWith({(adapters_ / "none").string()}), kNotFound, "none/adapter_config.json");
  testing::WriteTinyAdapter(adapters_ / "tone", "q", 4, 4);
  testing::WriteFile(adapters_ / "tone/adapter_model.safetensors",
                     "version https://git-lfs.github.com/spec/v1\n");
  EXPECT_ERROR(FilesWith({(adapters_ / "tone").string()}), kInvalidArgument, "git lfs pull");
}

}  // namespace
}  // namespace quantfleet::cli
