#include "daemon/jobs/agent_release.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>

#include <fstream>

#include "pipeline/artifact/manifest.h"
#include "pipeline/artifact/program/agent_release.h"
#include "pipeline/artifact/verify.h"
#include "tests/daemon/jobs/jobs_fixture.h"
#include "tests/daemon/store/once.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

// The bytes that an agent of an earlier contract (tests/data/wire) holds against those it was sent;
// where they differ it refuses the manifest, and could never update itself.
std::string AsOlderAgentsReadIt(const std::string& contract, const std::string& manifest) {
  namespace pb = google::protobuf;
  std::ifstream in(fs::path(QUANTFLEET_SOURCE_DIR) / "tests/data/wire" / (contract + ".protoset"),
                   std::ios::binary);
  pb::FileDescriptorSet files;
  EXPECT_TRUE(files.ParseFromIstream(&in)) << contract;
  pb::DescriptorPool pool;
  for (const pb::FileDescriptorProto& file : files.file()) pool.BuildFile(file);
  pb::DynamicMessageFactory factory;
  const std::unique_ptr<pb::Message> message(
      factory.GetPrototype(pool.FindMessageTypeByName("quantfleet.v1.Manifest"))->New());
  EXPECT_TRUE(message->ParseFromString(manifest));
  message->DiscardUnknownFields();
  return message->SerializeAsString();
}

class AgentReleaseTest : public JobsFixture {
 protected:
  AgentReleaseTest() { fs::create_directories(folder_); }
  void WriteProgram(const std::string& name, char machine, const std::string& version,
                    size_t size = 5 << 20) {
    std::string program(size, 'x');
    program.replace(0, 24,
                    std::string("\x7f"
                                "ELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0",
                                18) +
                        machine + std::string(5, '\0'));
    const std::string mark = std::string(pipeline::kAgentVersionMark) + version + "\n";
    program.replace(100, mark.size(), mark);
    std::ofstream(folder_ / name, std::ios::binary) << program;
  }
  const fs::path folder_ = dir_ / "programs";
  const std::string model_name_{pipeline::kAgentModel};
};

TEST_F(AgentReleaseTest, AJobMakesAnArtifactOfEachProgram) {
  WriteProgram("x86", 62, "1.2.3");
  WriteProgram("arm", static_cast<char>(183), "1.2.4", 100'000);
  const auto model = MakeRegistry()->Import("", model_name_, folder_);
  ASSERT_OK(model);
  EXPECT_EQ(model->architecture(), "aarch64, x86_64");
  EXPECT_EQ(model->format(), "agent");
  MakeRunner();
  const auto begun = runner_->Submit("", model_name_, {});
  ASSERT_OK(begun);
  const v1::Job job = RunToEnd(begun->name());
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  ASSERT_EQ(job.artifacts_size(), 2);
  for (const std::string& name : job.artifacts()) {
    const auto record = Once(*store_)->artifacts().Get(name);
    ASSERT_OK(record);
    const auto manifest = pipeline::ParseManifest(record->manifest);
    ASSERT_OK(manifest);
    const bool x86 = record->artifact.recipe() == "x86_64";
    EXPECT_EQ(*pipeline::AgentVersionOf(*manifest), x86 ? "1.2.3" : "1.2.4");
    EXPECT_EQ(pipeline::KindOf(*manifest), pipeline::ArtifactKind::kProgram);
    for (const char* contract : {"first", "second", "third"})
      EXPECT_EQ(AsOlderAgentsReadIt(contract, record->manifest), record->manifest) << contract;
    EXPECT_EQ(record->statements.size(), 1u);  // sealed; nothing was measured
    std::string bytes;
    for (const v1::Chunk& chunk : manifest->files(0).chunks()) {
      const auto plain = blobs_.Read(*Digest::FromRaw(chunk.digest()), chunk.size());
      ASSERT_OK(plain);
      bytes += AsText(*plain);
    }
    EXPECT_EQ(bytes, *RealFileSystem().ReadAll(folder_ / (x86 ? "x86" : "arm")));
    EXPECT_EQ(manifest->source().digest(), HashText(bytes).raw());
  }
}

TEST_F(AgentReleaseTest, TheNameIsForProgramsOfTheAgentAlone) {
  EXPECT_ERROR(MakeRegistry()->Import("", model_name_, model_), kInvalidArgument, "source/");
  EXPECT_ERROR(MakeRegistry()->Import("", model_name_, folder_), kInvalidArgument,
               folder_.string());
  WriteProgram("a", 62, "1.0.0");
  WriteProgram("b", 62, "1.0.1");
  EXPECT_ERROR(MakeRegistry()->Import("", model_name_, folder_), kInvalidArgument, "x86_64");
  EXPECT_OK(MakeRegistry()->Import("", model_name_, folder_ / "a"));
  MakeRunner();
  EXPECT_ERROR(runner_->Submit("", model_name_, {"iot"}), kInvalidArgument, "device classes");
  EXPECT_ERROR(runner_->Submit("", "tiny", {}), kInvalidArgument, "device class");
}

}  // namespace
}  // namespace quantfleet::daemon
