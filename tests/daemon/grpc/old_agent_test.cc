// Agents of before: what they say, in the contract that they were built with, and what they
// understand of the answers. The contracts are kept in tests/data/wire.
#include <absl/strings/escaping.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>

#include <fstream>
#include <map>
#include <set>

#include "common/trust/statement.h"
#include "daemon/fleet/fleet.h"
#include "tests/daemon/grpc/whole_path_fixture.h"

namespace quantfleet::daemon {
namespace {

namespace pb = google::protobuf;

// A contract of before, and messages in it.
class OldContract {
 public:
  explicit OldContract(const std::string& name) {
    std::ifstream in(fs::path(QUANTFLEET_SOURCE_DIR) / "tests/data/wire" / (name + ".protoset"),
                     std::ios::binary);
    EXPECT_TRUE(files_.ParseFromIstream(&in)) << name;
    for (const pb::FileDescriptorProto& file : files_.file())
      EXPECT_NE(pool_.BuildFile(file), nullptr) << file.name();
  }
  const pb::FileDescriptorSet& files() const { return files_; }
  const pb::DescriptorPool& pool() const { return pool_; }

  std::unique_ptr<pb::Message> Make(const std::string& type, const std::string& text = "") {
    const pb::Descriptor* descriptor = pool_.FindMessageTypeByName("quantfleet.v1." + type);
    if (descriptor == nullptr) {
      ADD_FAILURE() << "no " << type;
      return nullptr;
    }
    std::unique_ptr<pb::Message> message(factory_.GetPrototype(descriptor)->New());
    EXPECT_TRUE(pb::TextFormat::ParseFromString(text, message.get())) << type << ": " << text;
    return message;
  }
  std::unique_ptr<pb::Message> Parse(const std::string& type, const std::string& bytes) {
    auto message = Make(type);
    EXPECT_TRUE(message->ParseFromString(bytes)) << type;
    return message;
  }

 private:
  pb::FileDescriptorSet files_;
  pb::DescriptorPool pool_;
  pb::DynamicMessageFactory factory_;
};

std::string Text(const pb::Message& message, const std::string& field) {
  return message.GetReflection()->GetString(message,
                                            message.GetDescriptor()->FindFieldByName(field));
}
uint64_t Number(const pb::Message& message, const std::string& field) {
  const pb::FieldDescriptor* at = message.GetDescriptor()->FindFieldByName(field);
  return at->cpp_type() == pb::FieldDescriptor::CPPTYPE_INT64
             ? static_cast<uint64_t>(message.GetReflection()->GetInt64(message, at))
             : message.GetReflection()->GetUInt64(message, at);
}
int Count(const pb::Message& message, const std::string& field) {
  return message.GetReflection()->FieldSize(message,
                                            message.GetDescriptor()->FindFieldByName(field));
}
const pb::Message& Sub(const pb::Message& message, const std::string& field, int index = -1) {
  const pb::FieldDescriptor* at = message.GetDescriptor()->FindFieldByName(field);
  return index < 0 ? message.GetReflection()->GetMessage(message, at)
                   : message.GetReflection()->GetRepeatedMessage(message, at, index);
}
std::string Quoted(const std::string& bytes) { return "\"" + absl::CEscape(bytes) + "\""; }

class OldAgentTest : public WholePathFixture, public ::testing::WithParamInterface<const char*> {
 protected:
  // The old words go over the wire as they are: a message of today with the same bytes is what the
  // daemon reads there.
  template <typename Answer, typename Question>
  std::unique_ptr<pb::Message> Ask(grpc::Status (v1::DeviceService::Stub::*method)(
                                       grpc::ClientContext*, const Question&, Answer*),
                                   const std::string& answer_type,
                                   const pb::Message& old_question) {
    Question question;
    EXPECT_TRUE(question.ParseFromString(old_question.SerializeAsString()));
    const auto answer = Call<Answer>(Stub<v1::DeviceService>(identity_), method, question);
    EXPECT_OK(answer.status());
    return old_.Parse(answer_type, answer.ok() ? answer->SerializeAsString() : "");
  }
  std::unique_ptr<pb::Message> CheckInSaying(const std::string& text) {
    return Ask(&v1::DeviceService::Stub::CheckIn, "CheckInResponse",
               *old_.Make("CheckInRequest", text));
  }
  void Adopt(const pb::Message& granted) {
    device_ = Text(granted, "device_id");
    identity_ = {Text(granted, "certificate_pem"), key_.private_pem};
    root_ = Sub(granted, "trust_root").SerializeAsString();
  }
  // As the old agent checks it, by the root that it keeps.
  std::unique_ptr<pb::Message> Believed(const pb::Message& signed_statement) {
    v1::TrustRoot root;
    v1::Signed statement;
    EXPECT_TRUE(root.ParseFromString(root_) &&
                statement.ParseFromString(signed_statement.SerializeAsString()));
    EXPECT_OK(trust::Verify(statement, trust::kAssignmentType, root));
    return old_.Parse("Assignment", statement.payload());
  }
  v1::Rollout RollOut() {
    v1::CreateRolloutRequest create;
    create.set_model("tiny");
    const auto rollout =
        Call<v1::Rollout>(rollouts_, &v1::RolloutService::Stub::CreateRollout, create);
    EXPECT_OK(rollout.status());
    return rollout.value_or(v1::Rollout());
  }
  v1::Rollout Look(const v1::Rollout& rollout) {
    v1::GetRolloutRequest get;
    get.set_name(rollout.name());
    return Call<v1::Rollout>(rollouts_, &v1::RolloutService::Stub::GetRollout, get)
        .value_or(v1::Rollout());
  }

  OldContract old_{GetParam()};
  const trust::KeyPair key_ = trust::GenerateTlsKey();
  net::ClientIdentity identity_;
  std::string device_, root_;
};

TEST_P(OldAgentTest, EnrollsPullsReportsAndRenews) {
  ASSERT_OK(Import().status());
  ASSERT_EQ(RunJob({"iot-int4"}).state(), v1::Job::SUCCEEDED);
  const std::string csr = trust::MakeCsr(key_.private_pem, "x").value();
  const auto granted =
      Ask(&v1::DeviceService::Stub::Enroll, "Identity",
          *old_.Make("EnrollRequest",
                     fmt::format(R"(request_id: "r1" token: {} csr_pem: {} agent_version: "0.1.0"
      facts {{ arch: "x86_64" os: "linux" cores: 4 instruction_sets: "avx2" memory_total_bytes: 1073741824
               memory_available_bytes: 536870912 disk_free_bytes: 1000000000 form: "iot" runtimes: "embedded" }})",
                                 Quoted(Token()), Quoted(csr))));
  Adopt(*granted);
  EXPECT_EQ(Text(*granted, "device_class"), "iot-int4");
  EXPECT_EQ(Text(*granted, "blob_endpoint"), fmt::format(":{}", server_->http().port));
  EXPECT_GT(Number(*granted, "server_time_ms"), 0u);
  EXPECT_THAT(Text(Sub(*granted, "trust_root"), "ca_pem"),
              ::testing::StartsWith("-----BEGIN CERTIFICATE-----"));
  const auto first = CheckInSaying(R"(agent_version: "0.1.0")");
  EXPECT_EQ(Count(*first, "assignments"), 0);
  EXPECT_GT(Number(*first, "next_check_in_ms"), 0u);

  const v1::Rollout rollout = RollOut();
  const auto told = CheckInSaying(R"(agent_version: "0.1.0")");
  ASSERT_EQ(Count(*told, "assignments"), 1);
  const auto assignment = Believed(Sub(*told, "assignments", 0));
  EXPECT_EQ(Text(*assignment, "device_id"), device_);
  EXPECT_EQ(Text(*assignment, "model"), "tiny");
  EXPECT_EQ(Number(*assignment, "release"), 1u);
  const std::string digest = Text(*assignment, "manifest_digest");

  const auto artifact =
      Ask(&v1::DeviceService::Stub::GetArtifact, "DeviceArtifact",
          *old_.Make("GetDeviceArtifactRequest", "manifest_digest: " + Quoted(digest)));
  EXPECT_EQ(HashText(Text(*artifact, "manifest")).raw(), digest);
  EXPECT_GT(Count(*artifact, "statements"), 0);
  const auto manifest = old_.Parse("Manifest", Text(*artifact, "manifest"));
  std::set<std::string> chunks;
  for (int i = 0; i < Count(*manifest, "files"); ++i) {
    const pb::Message& file = Sub(*manifest, "files", i);
    for (int k = 0; k < Count(file, "chunks"); ++k)
      chunks.insert(Text(Sub(file, "chunks", k), "digest"));
  }
  EXPECT_GT(chunks.size(), 0u);
  EXPECT_EQ(static_cast<int>(chunks.size()), Count(*artifact, "stored"));
  for (int i = 0; i < Count(*artifact, "stored"); ++i)
    EXPECT_TRUE(chunks.contains(Text(Sub(*artifact, "stored", i), "digest")));

  const std::string status =
      fmt::format(R"(models {{ model: "tiny" release: 1 assigned_manifest: {})", Quoted(digest));
  CheckInSaying(status + " phase: DOWNLOADING bytes_total: 1000 bytes_done: 10 bytes_pulled: 10 }");
  EXPECT_EQ(Look(rollout).devices(0).state(), v1::RolloutDevice::IN_PROGRESS);
  CheckInSaying(status +
                fmt::format(" active_manifest: {} phase: HEALTHY tokens_per_second: 12.5 }}",
                            Quoted(digest)));
  EXPECT_EQ(Look(rollout).state(), v1::Rollout::COMPLETED);
  EXPECT_EQ(Look(rollout).devices(0).state(), v1::RolloutDevice::HEALTHY);

  const auto challenge = Ask(&v1::DeviceService::Stub::GetChallenge, "Challenge",
                             *old_.Make("GetChallengeRequest", "device_id: " + Quoted(device_)));
  const std::string nonce = Text(*challenge, "nonce");
  const auto proof =
      trust::SignWithTlsKey(key_.private_pem, AsBytes(Fleet::RenewalMessage(nonce, csr)));
  ASSERT_OK(proof.status());
  identity_ = {};  // as an agent whose certificate has expired
  const auto renewed =
      Ask(&v1::DeviceService::Stub::Renew, "Identity",
          *old_.Make("RenewRequest",
                     fmt::format("device_id: {} csr_pem: {} nonce: {} proof: {}", Quoted(device_),
                                 Quoted(csr), Quoted(nonce), Quoted(*proof))));
  EXPECT_EQ(Text(*renewed, "device_id"), device_);
  Adopt(*renewed);
  EXPECT_EQ(Count(*CheckInSaying(R"(agent_version: "0.1.0")"), "assignments"), 1);
}

TEST_P(OldAgentTest, TellsOfAFailureInItsWords) {
  ASSERT_OK(Import().status());
  ASSERT_EQ(RunJob({"iot-int4"}).state(), v1::Job::SUCCEEDED);
  Adopt(*Ask(
      &v1::DeviceService::Stub::Enroll, "Identity",
      *old_.Make(
          "EnrollRequest",
          fmt::format(
              R"(token: {} csr_pem: {} facts {{ form: "iot" memory_total_bytes: 1073741824 }})",
              Quoted(Token()), Quoted(trust::MakeCsr(key_.private_pem, "x").value())))));
  const v1::Rollout rollout = RollOut();
  const auto told = CheckInSaying("");
  ASSERT_EQ(Count(*told, "assignments"), 1);
  const auto assignment = Believed(Sub(*told, "assignments", 0));
  CheckInSaying(fmt::format(
      R"(models {{ model: "tiny" release: 1 assigned_manifest: {} phase: FAILED reason: "disk_full" detail: "no room" }})",
      Quoted(Text(*assignment, "manifest_digest"))));
  const v1::Rollout now = Look(rollout);
  ASSERT_EQ(now.devices_size(), 1);
  EXPECT_EQ(now.devices(0).state(), v1::RolloutDevice::FAILED);
  EXPECT_EQ(now.devices(0).code(), v1::RolloutDevice::DISK_FULL);
}

// Its answer was lost, or its folder but for the key: it asks again, with no proof that it is
// itself.
TEST_P(OldAgentTest, EnrollsAgainAndNothingIsWritten) {
  const std::string csr = Quoted(trust::MakeCsr(key_.private_pem, "x").value());
  const auto enroll = [&](const std::string& form, const std::string& token) {
    return Ask(
        &v1::DeviceService::Stub::Enroll, "Identity",
        *old_.Make(
            "EnrollRequest",
            fmt::format(
                R"(token: {} csr_pem: {} facts {{ form: "{}" memory_total_bytes: 1073741824 }})",
                Quoted(token), csr, form)));
  };
  Adopt(*enroll("iot", Token()));
  v1::GetDeviceRequest get;
  get.set_id(device_);
  const auto before = Call<v1::Device>(fleet_, &v1::FleetService::Stub::GetDevice, get);
  ASSERT_OK(before.status());
  const auto again = enroll("edge", Token());
  EXPECT_EQ(Text(*again, "device_id"), device_);
  EXPECT_EQ(Text(*again, "device_class"), "iot-int4");
  EXPECT_EQ(Call<v1::Device>(fleet_, &v1::FleetService::Stub::GetDevice, get)->SerializeAsString(),
            before->SerializeAsString());
  Adopt(*again);
  CheckInSaying(R"(facts { form: "iot" memory_total_bytes: 2147483648 })");
  EXPECT_EQ(Call<v1::Device>(fleet_, &v1::FleetService::Stub::GetDevice, get)
                ->facts()
                .memory_total_bytes(),
            2147483648u)
      << "with its certificate it tells what it is";
}

// What has another name now. Numbers and types are the same, and on the wire there are no names.
std::string NameNow(const std::string& message) {
  return message == "EnrolmentToken" ? "EnrollmentToken" : message;
}

// Numbers and types of what is in use are never given anew: what an old agent writes is not read as
// something else.
TEST_P(OldAgentTest, NoFieldOfItsContractMeansSomethingElseNow) {
  int fields = 0;
  for (const pb::FileDescriptorProto& file : old_.files().file()) {
    for (const pb::DescriptorProto& message : file.message_type()) {
      const std::string package = "quantfleet.v1.";
      const pb::Descriptor* before = old_.pool().FindMessageTypeByName(package + message.name());
      const pb::Descriptor* now = pb::DescriptorPool::generated_pool()->FindMessageTypeByName(
          package + NameNow(message.name()));
      if (now == nullptr) continue;  // of operators, whose calls follow the daemon's version
      for (int i = 0; i < before->field_count(); ++i) {
        const pb::FieldDescriptor* old_field = before->field(i);
        const pb::FieldDescriptor* field = now->FindFieldByNumber(old_field->number());
        if (field == nullptr) {
          EXPECT_TRUE(now->IsReservedNumber(old_field->number()))
              << old_field->full_name() << " is gone and its number free";
          continue;
        }
        EXPECT_EQ(field->name(), old_field->name());
        EXPECT_EQ(field->type(), old_field->type()) << field->full_name();
        EXPECT_EQ(field->label(), old_field->label()) << field->full_name();
        ++fields;
      }
    }
  }
  EXPECT_GT(fields, 60);
  const pb::ServiceDescriptor* before =
      old_.pool().FindServiceByName("quantfleet.v1.DeviceService");
  const pb::ServiceDescriptor* now =
      pb::DescriptorPool::generated_pool()->FindServiceByName("quantfleet.v1.DeviceService");
  for (int i = 0; i < before->method_count(); ++i)
    EXPECT_NE(now->FindMethodByName(before->method(i)->name()), nullptr)
        << before->method(i)->full_name();
}

INSTANTIATE_TEST_SUITE_P(Contracts, OldAgentTest, ::testing::Values("first", "second", "third"),
                         [](const auto& contract) { return std::string(contract.param); });

}  // namespace
}  // namespace quantfleet::daemon
