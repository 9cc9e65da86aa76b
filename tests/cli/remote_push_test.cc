#include "cli/remote_push.h"

#include <gtest/gtest.h>

#include <map>

#include "common/base/digest.h"
#include "tests/support/temp_dir.h"

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
    return State();
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

}  // namespace
}  // namespace quantfleet::cli
