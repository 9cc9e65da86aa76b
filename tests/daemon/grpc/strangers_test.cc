// What the daemon does for callers without a certificate, over real TLS.
#include <grpcpp/generic/generic_stub.h>

#include <future>

#include "daemon/grpc/bounded.h"
#include "tests/daemon/grpc/whole_path_fixture.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;

// Field 6 of EnrollRequest, a message, without a byte in it: two bytes that take a hundred when
// they have become an object.
std::string EmptySubMessages(size_t count) {
  std::string bytes;
  for (size_t i = 0; i < count; ++i) bytes += std::string("\x32\x00", 2);
  return bytes;
}

class StrangersTest : public WholePathFixture {
 protected:
  // The bytes as they are, to whatever call; OK with the answer's bytes.
  absl::StatusOr<std::string> Ask(const std::string& call, const std::string& bytes,
                                  const net::ClientIdentity& identity = {}) const {
    grpc::GenericStub stub(net::MakeChannel(ToString(server_->grpc()), Trust(), identity));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer question(&slice, 1);
    grpc::ByteBuffer answer;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, call, {}, &question, &answer,
                   [&done](const grpc::Status& status) { done.set_value(status); });
    QF_RETURN_IF_ERROR(net::FromGrpc(done.get_future().get(), context));
    std::vector<grpc::Slice> slices;
    std::string text;
    if (answer.Dump(&slices).ok())
      for (const grpc::Slice& part : slices)
        text.append(reinterpret_cast<const char*>(part.begin()), part.size());
    return text;
  }
};

constexpr char kEnroll[] = "/quantfleet.v1.DeviceService/Enroll";

TEST_F(StrangersTest, HealthAnswersEverybody) {
  const auto health = Ask("/grpc.health.v1.Health/Check", "");
  ASSERT_OK(health);
  EXPECT_EQ(*health, "\x08\x01");  // status: SERVING
}

// No message at all: whoever read it would say so.
TEST_F(StrangersTest, EverythingElseIsRefusedBeforeItIsRead) {
  for (const char* call :
       {"/quantfleet.v1.JobService/SubmitJob", "/quantfleet.v1.DeviceService/CheckIn",
        "/quantfleet.v1.ModelService/WritePush", "/quantfleet.v1.DeviceService/GetArtifact",
        "/quantfleet.v1.RolloutService/WatchRollout",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "/no.Such/Call"})
    EXPECT_ERROR(Ask(call, "\xff\xff\xff"), kUnauthenticated, "this call needs") << call;
}

TEST_F(StrangersTest, WhoHasACertificateIsHeard) {
  EXPECT_ERROR(Ask("/no.Such/Call", "", Operator("viewer")), kUnimplemented, "");
}

TEST_F(StrangersTest, MessagesAreBoundedBeforeTheyAreMade) {
  EXPECT_ERROR(Ask(kEnroll, EmptySubMessages(2000)), kResourceExhausted, "too many fields");
  EXPECT_ERROR(Ask(kEnroll, std::string(49 << 10, 'x')), kResourceExhausted, "at most 49152");
  EXPECT_ERROR(Ask("/quantfleet.v1.DeviceService/GetChallenge", std::string(2000, 'x')),
               kResourceExhausted, "at most 1024");
  EXPECT_ERROR(Ask("/quantfleet.v1.DeviceService/Renew", std::string(20'000, 'x')),
               kResourceExhausted, "at most 16384");
  EXPECT_ERROR(Ask(kEnroll, "\xff\xff\xff"), kInvalidArgument, "malformed");
  EXPECT_OK(Ask("/quantfleet.v1.DeviceService/GetChallenge", "\x0a\x01x"));
}

// Its connection is cut, or its message refused, whichever comes first.
TEST_F(StrangersTest, WhoeverSendsMegabytesIsNotHeard) {
  const absl::Status refused = Ask(kEnroll, EmptySubMessages(2 << 20)).status();
  EXPECT_TRUE(refused.code() == absl::StatusCode::kUnavailable ||
              refused.code() == absl::StatusCode::kResourceExhausted)
      << refused;
}

TEST_F(StrangersTest, AnOperatorMaySendThem) {
  v1::BeginPushRequest request;
  request.set_name("m");
  for (int i = 0; i < 20'000; ++i) request.add_files()->set_path(std::string(100, 'x'));
  ASSERT_GT(request.ByteSizeLong(), 2'000'000u);
  const auto models = Stub<v1::ModelService>(Operator("admin"));
  ASSERT_OK(Call<v1::ListModelsResponse>(models, &v1::ModelService::Stub::ListModels, {}));
  const auto begun = Call<v1::PushState>(models, &v1::ModelService::Stub::BeginPush, request);
  EXPECT_NE(begun.status().code(), absl::StatusCode::kUnavailable) << begun.status();
}

TEST_F(StrangersTest, TheFleetsListenerIsAnnouncedAndWantsACertificate) {
  EXPECT_EQ(Enrolled().identity.fleet_endpoint(), "") << "there is none";
  server_.reset();
  config_.fleet_listen = {"127.0.0.1", 0};
  Start();
  SetUp();
  const Device device = Enrolled();
  const std::string port = device.identity.fleet_endpoint();
  ASSERT_THAT(port, ::testing::StartsWith(":"));
  const auto fleet = [&](const net::ClientIdentity& identity) {
    return v1::DeviceService::NewStub(net::MakeChannel("127.0.0.1" + port, Trust(), identity));
  };
  const auto checked_in = CheckIn(fleet(device.tls()));
  ASSERT_OK(checked_in);
  EXPECT_EQ(checked_in->fleet_endpoint(), port);
  EXPECT_ERROR(Call<v1::Challenge>(fleet({}), &v1::DeviceService::Stub::GetChallenge, {}),
               kUnavailable, "");
  EXPECT_OK(CheckIn(Stub<v1::DeviceService>(device.tls()))) << "the first address stays";
}

TEST(Bounded, CountsWhatAMessageWouldConsistOf) {
  const auto check = [](const std::string& bytes, const MessageBounds& bounds) {
    return CheckMessage(bytes, *v1::EnrollRequest::descriptor(), bounds);
  };
  v1::EnrollRequest request;
  request.set_token("t");
  request.mutable_facts()->add_runtimes("embedded");
  request.mutable_customer()->set_nonce("n");
  const std::string whole = request.SerializeAsString();  // token, facts, runtimes, customer, nonce
  EXPECT_OK(check(whole, {.bytes = whole.size(), .fields = 5, .depth = 1}));
  EXPECT_ERROR(check(whole, {.bytes = whole.size() - 1}), kResourceExhausted, "bytes");
  EXPECT_ERROR(check(whole, {.bytes = 1000, .fields = 4}), kResourceExhausted, "fields");
  EXPECT_ERROR(check(whole, {.bytes = 1000, .depth = 0}), kResourceExhausted, "nested");
  EXPECT_ERROR(check(whole.substr(0, whole.size() - 1), {.bytes = 1000}), kInvalidArgument,
               "malformed");
  EXPECT_ERROR(check("\x32\x05\x0a", {.bytes = 1000}), kInvalidArgument, "malformed")
      << "a sub-message that is longer than all";
  EXPECT_ERROR(check("\x0b\x0c", {.bytes = 1000}), kInvalidArgument, "malformed") << "a group";
  EXPECT_ERROR(check(std::string(1000, '\x50'), {.bytes = 1000, .fields = 100}), kResourceExhausted,
               "fields")
      << "those that nobody knows count, too";
  EXPECT_OK(check("", {.bytes = 0}));
}

}  // namespace
}  // namespace quantfleet::daemon
