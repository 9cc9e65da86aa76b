// The whole path over real TLS: a model comes in, a job makes an artifact, a device enrolls, is
// told to run it, fetches it.
#include <grpcpp/generic/generic_stub.h>
#include <soci/soci.h>

#include <thread>

#include "common/trust/statement.h"
#include "daemon/fleet/fleet.h"
#include "pipeline/artifact/encoding.h"
#include "tests/daemon/grpc/whole_path_fixture.h"

namespace quantfleet::daemon {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ServerTest : public WholePathFixture {};

TEST_F(ServerTest, ModelBecomesArtifactBecomesHealthyDevice) {
  ASSERT_OK(Import().status());
  const v1::Job job = RunJob({"iot-int4", "edge-fp16"});
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_EQ(job.artifacts().size(), 2);

  const Device device = Enrolled();
  EXPECT_EQ(device.identity.device_class(), "iot-int4");
  EXPECT_EQ(device.identity.blob_endpoint(), fmt::format(":{}", server_->http().port));
  const auto stub = Stub<v1::DeviceService>(device.tls());
  ASSERT_OK(CheckIn(stub).status());

  v1::CreateRolloutRequest create;
  create.set_model("tiny");
  const auto rollout =
      Call<v1::Rollout>(rollouts_, &v1::RolloutService::Stub::CreateRollout, create);
  ASSERT_OK(rollout.status());
  const auto told = CheckIn(stub);
  ASSERT_OK(told.status());
  ASSERT_EQ(told->assignments().size(), 1);
  ASSERT_OK(
      trust::Verify(told->assignments(0), trust::kAssignmentType, device.identity.trust_root()));
  v1::Assignment assignment;
  ASSERT_TRUE(assignment.ParseFromString(told->assignments(0).payload()));

  v1::GetDeviceArtifactRequest get;
  get.set_manifest_digest(assignment.manifest_digest());
  const auto artifact = Call<v1::DeviceArtifact>(stub, &v1::DeviceService::Stub::GetArtifact, get);
  ASSERT_OK(artifact.status());
  EXPECT_EQ(HashText(artifact->manifest()).raw(), assignment.manifest_digest());
  ASSERT_FALSE(artifact->statements().empty());
  ASSERT_OK(trust::Verify(artifact->statements(0), trust::kArtifactStatementType,
                          device.identity.trust_root()));

  // Every chunk, each with its bytes behind a break in the middle, decodes to what its name says.
  v1::Manifest manifest;
  ASSERT_TRUE(manifest.ParseFromString(artifact->manifest()));
  std::map<std::string, uint32_t> sizes;
  for (const v1::ArtifactFile& file : manifest.files())
    for (const v1::Chunk& chunk : file.chunks()) sizes[chunk.digest()] = chunk.size();
  ASSERT_EQ(sizes.size(), static_cast<size_t>(artifact->stored().size()));
  http::HttpsClient https(ToString(server_->http()), Trust(), device.tls());
  for (const v1::StoredChunk& stored : artifact->stored()) {
    const std::string target =
        fmt::format("/v1/blobs/{}.{}", ToHex(AsBytes(stored.digest())), stored.encoding());
    std::string bytes, tail;
    const auto into = [](std::string& text) {
      return [&text](ByteSpan piece) -> absl::Status {
        text += AsText(piece);
        return absl::OkStatus();
      };
    };
    const auto whole =
        https.Get(target, 0, stored.stored_size(), into(bytes), {std::chrono::seconds(10)});
    ASSERT_OK(whole.status());
    ASSERT_EQ(bytes.size(), stored.stored_size());
    const uint64_t half = stored.stored_size() / 2;
    const auto rest =
        https.Get(target, half, stored.stored_size(), into(tail), {std::chrono::seconds(10)});
    ASSERT_OK(rest.status());
    EXPECT_EQ(rest->status, half > 0 ? 206 : 200);
    EXPECT_TRUE(tail == bytes.substr(half));
    Bytes plain(sizes.at(stored.digest()));
    ASSERT_OK(pipeline::DecodeChunk(*pipeline::EncodingFromName(stored.encoding()), AsBytes(bytes),
                                    plain));
    EXPECT_EQ(HashBytes(plain).raw(), stored.digest());
  }

  v1::CheckInRequest report;
  v1::ModelStatus& status = *report.add_models();
  status.set_model("tiny");
  status.set_release(assignment.release());
  status.set_active_manifest(assignment.manifest_digest());
  status.set_phase(v1::ModelStatus::HEALTHY);
  ASSERT_OK(CheckIn(stub, report).status());
  v1::GetRolloutRequest name;
  name.set_name(rollout->name());
  EXPECT_EQ(Call<v1::Rollout>(rollouts_, &v1::RolloutService::Stub::GetRollout, name)->state(),
            v1::Rollout::COMPLETED);
}

TEST_F(ServerTest, AWatchTellsWhatChangesUntilTheRolloutIsOver) {
  ASSERT_OK(Import().status());
  ASSERT_EQ(RunJob({"iot-int4"}).state(), v1::Job::SUCCEEDED);
  const Device device = Enrolled();
  v1::CreateRolloutRequest create;
  create.set_model("tiny");
  const auto rollout =
      Call<v1::Rollout>(rollouts_, &v1::RolloutService::Stub::CreateRollout, create);
  ASSERT_OK(rollout.status());
  v1::WatchRolloutRequest watch;
  watch.set_name(rollout->name());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  const auto stream = rollouts_->WatchRollout(&context, watch);
  v1::Rollout now;
  ASSERT_TRUE(stream->Read(&now));
  EXPECT_EQ(now.state(), v1::Rollout::RUNNING);
  EXPECT_EQ(now.devices_size(), 0);
  ASSERT_EQ(now.counts_size(), 1);
  EXPECT_EQ(now.counts(0).state(), v1::RolloutDevice::PENDING);
  watch.set_revision(now.revision());

  const auto stub = Stub<v1::DeviceService>(device.tls());
  ASSERT_OK(CheckIn(stub).status());
  ASSERT_TRUE(stream->Read(&now));
  ASSERT_EQ(now.devices_size(), 1);
  EXPECT_EQ(now.devices(0).state(), v1::RolloutDevice::IN_PROGRESS);
  const std::string& artifact = now.devices(0).artifact();
  v1::CheckInRequest report;
  v1::ModelStatus& status = *report.add_models();
  status.set_model("tiny");
  status.set_release(1);
  status.set_active_manifest(Digest::FromHexText(artifact.substr(artifact.find('/') + 1))->raw());
  status.set_phase(v1::ModelStatus::HEALTHY);
  ASSERT_OK(CheckIn(stub, report).status());
  while (stream->Read(&now)) {
  }
  EXPECT_OK(net::FromGrpc(stream->Finish()));
  EXPECT_EQ(now.state(), v1::Rollout::COMPLETED);

  // Who comes back later with what it knew misses nothing, in one message.
  grpc::ClientContext again;
  again.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  const auto later = rollouts_->WatchRollout(&again, watch);
  ASSERT_TRUE(later->Read(&now));
  ASSERT_EQ(now.devices_size(), 1);
  EXPECT_EQ(now.devices(0).state(), v1::RolloutDevice::HEALTHY);
  EXPECT_FALSE(later->Read(&now));
  EXPECT_OK(net::FromGrpc(later->Finish()));

  watch.set_name("rollouts/none");
  for (const auto& [who, code] : {std::pair(admin_, absl::StatusCode::kNotFound),
                                  std::pair(device.tls(), absl::StatusCode::kPermissionDenied)}) {
    grpc::ClientContext refused;
    const auto nothing = Stub<v1::RolloutService>(who)->WatchRollout(&refused, watch);
    EXPECT_FALSE(nothing->Read(&now));
    EXPECT_EQ(net::FromGrpc(nothing->Finish()).code(), code);
  }

  // One leaves, and one stays until the daemon stops under it.
  create.set_draft(true);
  watch.set_name(
      Call<v1::Rollout>(rollouts_, &v1::RolloutService::Stub::CreateRollout, create)->name());
  grpc::ClientContext leaves, stays;
  const auto left = rollouts_->WatchRollout(&leaves, watch),
             stayed = rollouts_->WatchRollout(&stays, watch);
  EXPECT_TRUE(left->Read(&now));
  EXPECT_EQ(now.state(), v1::Rollout::DRAFT);
  leaves.TryCancel();
  EXPECT_EQ(net::FromGrpc(left->Finish()).code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(stayed->Read(&now));
  server_->Stop();
  EXPECT_FALSE(stayed->Read(&now));
  stayed->Finish();
}

// As agents of before cut an answer of a runtime in the middle of a character.
TEST_F(ServerTest, AReportThatIsNotUtf8DoesNotSilenceTheDevice) {
  const Device device = Enrolled();
  const auto stub = Stub<v1::DeviceService>(device.tls());
  // A connection's first message may not be that large: the door does not know yet whose it is.
  ASSERT_OK(CheckIn(stub));
  v1::CheckInRequest report;
  report.mutable_facts()->set_cpu_model("\xff");
  v1::ModelStatus& status = *report.add_models();
  status.set_model("m");
  status.set_detail("\xe4\xb8");
  status.GetReflection()->MutableUnknownFields(&status)->AddLengthDelimited(
      999, std::string(1'000'000, 'x'));
  ASSERT_OK(CheckIn(stub, report));
  v1::GetDeviceRequest ask;
  ask.set_id(device.identity.device_id());
  const auto seen = Call<v1::Device>(fleet_, &v1::FleetService::Stub::GetDevice, ask);
  ASSERT_OK(seen);
  EXPECT_EQ(seen->facts().cpu_model(), "\\xff");
  EXPECT_EQ(seen->models(0).detail(), "\\xe4\\xb8");
  EXPECT_LT(seen->ByteSizeLong(), 1000u);
}

TEST_F(ServerTest, RestartKeepsEverything) {
  ASSERT_OK(Import().status());
  const Device device = Enrolled();
  server_->Stop();
  server_.reset();
  Start();
  EXPECT_OK(CheckIn(Stub<v1::DeviceService>(device.tls())).status());
  const auto models = Call<v1::ListModelsResponse>(Stub<v1::ModelService>(admin_),
                                                   &v1::ModelService::Stub::ListModels, {});
  ASSERT_OK(models.status());
  EXPECT_EQ(models->models().size(), 1);
}

TEST_F(ServerTest, RolesAreEnforced) {
  const auto viewer = Operator("viewer"), publisher = Operator("publisher");
  const auto list = [&](const net::ClientIdentity& who) {
    return Call<v1::ListModelsResponse>(Stub<v1::ModelService>(who),
                                        &v1::ModelService::Stub::ListModels, {});
  };
  const auto submit = [&](const net::ClientIdentity& who) {
    return Call<v1::Job>(Stub<v1::JobService>(who), &v1::JobService::Stub::SubmitJob, {});
  };
  const auto token = [&](const net::ClientIdentity& who) {
    return Call<v1::CreateTokenResponse>(Stub<v1::TokenService>(who),
                                         &v1::TokenService::Stub::CreateToken, {});
  };
  EXPECT_OK(list(viewer));
  EXPECT_ERROR(submit(viewer), kPermissionDenied, "role publisher", "viewer-user", "role viewer");
  EXPECT_NE(submit(publisher).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_ERROR(token(publisher), kPermissionDenied, "role admin");
  EXPECT_OK(token(admin_));
  // A program of the agent is code for every device.
  const auto bring = [&](const net::ClientIdentity& who) {
    const auto models = Stub<v1::ModelService>(who);
    v1::BeginPushRequest push;
    push.set_name("quantfleet-agent");
    v1::ImportModelRequest import;
    import.set_name("quantfleet-agent");
    const auto pushed =
        Call<v1::PushState>(models, &v1::ModelService::Stub::BeginPush, push).status();
    EXPECT_EQ(Call<v1::Model>(models, &v1::ModelService::Stub::ImportModel, import).status().code(),
              pushed.code());
    return pushed;
  };
  EXPECT_ERROR(bring(publisher), kPermissionDenied, "role admin");
  EXPECT_ERROR(bring(admin_), kInvalidArgument, "");
  EXPECT_ERROR(list({}), kUnauthenticated, "operator");
  EXPECT_ERROR(CheckIn(Stub<v1::DeviceService>(admin_)), kPermissionDenied, "operator");
  EXPECT_ERROR(CheckIn(Stub<v1::DeviceService>({})), kUnauthenticated, "enroll");
  EXPECT_ERROR(list(Enrolled().tls()), kPermissionDenied, "operator");

  v1::GetJobRequest job;
  grpc::ClientContext context;
  v1::Job ignored;
  const auto stream = Stub<v1::JobService>({})->WatchJob(&context, job);
  EXPECT_FALSE(stream->Read(&ignored));
  EXPECT_ERROR(net::FromGrpc(stream->Finish()), kUnauthenticated, "operator");
}

TEST_F(ServerTest, ForeignAndRevokedDevicesAreRefused) {
  const auto foreign_ca = trust::CertificateAuthority::Create("foreign", clock_);
  const trust::KeyPair key = trust::GenerateTlsKey();
  const auto foreign =
      foreign_ca.Issue(key.public_pem, {trust::Subject::Kind::kDevice, "d-1", "", {}, {}},
                       std::chrono::hours(1), clock_);
  EXPECT_ERROR(CheckIn(Stub<v1::DeviceService>({*foreign, key.private_pem})), kUnavailable, "");

  const Device device = Enrolled();
  v1::GetDeviceRequest id;
  id.set_id(device.identity.device_id());
  ASSERT_OK(Call<v1::Device>(fleet_, &v1::FleetService::Stub::RevokeDevice, id).status());
  EXPECT_ERROR(CheckIn(Stub<v1::DeviceService>(device.tls())), kPermissionDenied, "revoked");
  http::HttpsClient https(ToString(server_->http()), Trust(), device.tls());
  const auto blob =
      https.Get("/v1/blobs/" + std::string(64, '0') + ".raw", 0, 100,
                [](ByteSpan) { return absl::OkStatus(); }, {std::chrono::seconds(10)});
  EXPECT_EQ(blob.status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(ServerTest, DeviceGetsOnlyWhatItIsAssigned) {
  ASSERT_OK(Import().status());
  const v1::Job job = RunJob({"iot-int4"});
  ASSERT_EQ(job.artifacts().size(), 1);
  const Device device = Enrolled();
  v1::GetDeviceArtifactRequest get;
  get.set_manifest_digest(Digest::FromHexText(job.artifacts(0).substr(10))->raw());
  const auto stub = Stub<v1::DeviceService>(device.tls());
  EXPECT_ERROR(Call<v1::DeviceArtifact>(stub, &v1::DeviceService::Stub::GetArtifact, get),
               kPermissionDenied, "assigned");
  get.set_manifest_digest("short");
  EXPECT_ERROR(Call<v1::DeviceArtifact>(stub, &v1::DeviceService::Stub::GetArtifact, get),
               kInvalidArgument, "32 bytes");
}

// It stands in its log, under the reference that the device is given.
TEST_F(ServerTest, ADeviceIsNotToldWhatIsWrongInsideTheDaemon) {
  ASSERT_OK(Import().status());
  ASSERT_EQ(RunJob({"iot-int4"}).artifacts().size(), 1);
  const Device device = Enrolled();
  v1::CreateRolloutRequest create;
  create.set_model("tiny");
  ASSERT_OK(
      Call<v1::Rollout>(rollouts_, &v1::RolloutService::Stub::CreateRollout, create).status());
  soci::session("sqlite3", "db=" + (config_.data / "state.db").string())
      << "UPDATE assignments SET statement = 'CgX_'";
  const auto answer = CheckIn(Stub<v1::DeviceService>(device.tls()));
  ASSERT_EQ(answer.status().code(), absl::StatusCode::kDataLoss);
  const std::string told = Message(answer.status());
  EXPECT_THAT(told, Not(HasSubstr("database")));
  const size_t at = told.find("e-");
  ASSERT_NE(at, std::string::npos) << told;
  EXPECT_THAT(Logged(), AllOf(HasSubstr(told.substr(at)), HasSubstr("database")));
}

TEST_F(ServerTest, ExpiredCertificateIsRenewedWithoutOne) {
  const Device device = Enrolled();
  const auto stub = Stub<v1::DeviceService>({});
  v1::GetChallengeRequest ask;
  ask.set_device_id(device.identity.device_id());
  const auto challenge = Call<v1::Challenge>(stub, &v1::DeviceService::Stub::GetChallenge, ask);
  ASSERT_OK(challenge.status());
  v1::RenewRequest renew;
  renew.set_device_id(device.identity.device_id());
  renew.set_csr_pem(trust::MakeCsr(device.key.private_pem, "x").value());
  renew.set_nonce(challenge->nonce());
  renew.set_proof(
      trust::SignWithTlsKey(device.key.private_pem,
                            AsBytes(Fleet::RenewalMessage(challenge->nonce(), renew.csr_pem())))
          .value());
  const auto renewed = Call<v1::Identity>(stub, &v1::DeviceService::Stub::Renew, renew);
  ASSERT_OK(renewed.status());
  EXPECT_OK(CheckIn(Stub<v1::DeviceService>({renewed->certificate_pem(), device.key.private_pem}))
                .status());
  EXPECT_ERROR(Call<v1::Identity>(stub, &v1::DeviceService::Stub::Renew, renew), kUnauthenticated,
               "already used");
  EXPECT_ERROR(Enroll(Device(), "qf1.bad"), kUnauthenticated, "quantfleet token create");
}

TEST_F(ServerTest, PushedModelIsWrittenByAStream) {
  v1::BeginPushRequest begin;
  begin.set_name("pushed");
  std::map<std::string, std::string> contents;
  for (const auto& entry : fs::directory_iterator(dir_ / "tiny")) {
    const std::string path = entry.path().filename().string();
    contents[path] = RealFileSystem().ReadAll(entry.path()).value();
    v1::PushFile& file = *begin.add_files();
    file.set_path(path);
    file.set_size(contents[path].size());
    file.set_sha256(HashText(contents[path]).raw());
  }
  const auto state = Call<v1::PushState>(models_, &v1::ModelService::Stub::BeginPush, begin);
  ASSERT_OK(state.status());
  grpc::ClientContext context;
  v1::PushState written;
  const auto stream = models_->WritePush(&context, &written);
  for (const auto& [path, content] : contents) {
    for (size_t at = 0; at < content.size(); at += 10'000) {
      v1::PushData data;
      data.set_push_id(state->push_id());
      data.set_path(path);
      data.set_offset(at);
      data.set_data(content.substr(at, 10'000));
      ASSERT_TRUE(stream->Write(data));
    }
  }
  stream->WritesDone();
  ASSERT_OK(net::FromGrpc(stream->Finish()));
  for (const v1::PushFile& file : written.files())
    EXPECT_EQ(file.received(), file.size()) << file.path();
  v1::CommitPushRequest commit;
  commit.set_push_id(state->push_id());
  const auto model = Call<v1::Model>(models_, &v1::ModelService::Stub::CommitPush, commit);
  ASSERT_OK(model.status());
  EXPECT_EQ(model->architecture(), "phi3");
}

TEST_F(ServerTest, WatchersMayLeaveAtAnyMoment) {
  ASSERT_OK(Import().status());
  v1::SubmitJobRequest submit;
  submit.set_model("tiny");
  submit.add_device_classes("iot-int4");
  submit.add_device_classes("edge-fp16");
  std::vector<std::jthread> watchers;
  std::string newest;
  for (int i = 0; i < 12; ++i) {
    const auto job = i % 4 == 0 ? Call<v1::Job>(jobs_, &v1::JobService::Stub::SubmitJob, submit)
                                : absl::StatusOr<v1::Job>(v1::Job());
    ASSERT_OK(job.status());
    if (i % 4 == 0) newest = job->name();
    watchers.emplace_back([this, i, name = newest] {
      grpc::ClientContext context;
      v1::GetJobRequest request;
      request.set_name(name);
      const auto stream = jobs_->WatchJob(&context, request);
      v1::Job seen;
      for (int reads = 0; reads < i % 4 && stream->Read(&seen); ++reads) {
      }
      context.TryCancel();
      stream->Finish();
    });
  }
  watchers.clear();
  // One stays until the daemon stops under it.
  grpc::ClientContext context;
  v1::GetJobRequest request;
  request.set_name(Call<v1::Job>(jobs_, &v1::JobService::Stub::SubmitJob, submit)->name());
  const auto stream = jobs_->WatchJob(&context, request);
  v1::Job seen;
  EXPECT_TRUE(stream->Read(&seen));
  server_->Stop();
  while (stream->Read(&seen)) {
  }
  stream->Finish();
}

TEST_F(ServerTest, UnknownJobCannotBeWatched) {
  grpc::ClientContext context;
  v1::GetJobRequest request;
  request.set_name("jobs/none");
  const auto stream = jobs_->WatchJob(&context, request);
  v1::Job ignored;
  EXPECT_FALSE(stream->Read(&ignored));
  EXPECT_ERROR(net::FromGrpc(stream->Finish()), kNotFound, "jobs/none");
}

// Raw bytes in, raw bytes out: neither service's schema is ours.
grpc::ByteBuffer Raw(std::string_view bytes) {
  const grpc::Slice slice(bytes.data(), bytes.size());
  return grpc::ByteBuffer(&slice, 1);
}
std::string Text(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string text;
  if (buffer.Dump(&slices).ok())
    for (const grpc::Slice& slice : slices)
      text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return text;
}

TEST_F(ServerTest, HealthAndReflectionAnswerWhoHasACertificate) {
  const auto channel = net::MakeChannel(ToString(server_->grpc()), Trust(), Operator("viewer"));
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  const auto next = [&queue] {
    void* tag;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  {
    grpc::ClientContext context;
    grpc::ByteBuffer answer;
    grpc::Status status;
    const auto call =
        stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", Raw(""), &queue);
    call->StartCall();
    call->Finish(&answer, &status, nullptr);
    ASSERT_TRUE(next());
    EXPECT_OK(net::FromGrpc(status));
    EXPECT_EQ(Text(answer), "\x08\x01");  // status: SERVING
  }
  {
    grpc::ClientContext context;
    const auto call = stub.PrepareCall(
        &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
    call->StartCall(nullptr);
    ASSERT_TRUE(next());
    call->Write(Raw("\x3a\x01*"), nullptr);  // list_services: "*"
    ASSERT_TRUE(next());
    grpc::ByteBuffer answer;
    call->Read(&answer, nullptr);
    ASSERT_TRUE(next());
    EXPECT_THAT(Text(answer), HasSubstr("quantfleet.v1.DeviceService"));
    EXPECT_THAT(Text(answer), HasSubstr("quantfleet.v1.RolloutService"));
    context.TryCancel();
    grpc::Status status;
    call->Finish(&status, nullptr);
    next();
  }
  queue.Shutdown();
  void* tag;
  for (bool ok; queue.Next(&tag, &ok);) {
  }
}

TEST_F(ServerTest, OneDaemonPerDataFolderAndPort) {
  Config config;
  config.data = dir_ / "data";
  config.listen.port = config.http.port = 0;
  const Server::Environment environment{RealFileSystem(), clock_, random_, [](std::string_view) {}};
  EXPECT_ERROR(Server::Start(config, environment), kFailedPrecondition, config.data.string());
  config.data = dir_ / "other";
  config.listen.port = server_->grpc().port;
  EXPECT_ERROR(Server::Start(config, environment), kUnavailable, "--listen");
  config.listen.port = 0;
  config.http.port = server_->http().port;
  EXPECT_ERROR(Server::Start(config, environment), kUnavailable, "--http");
  EXPECT_TRUE(fs::exists(dir_ / "data" / "endpoints.json"));
  EXPECT_FALSE(fs::exists(dir_ / "other" / "endpoints.json"));
}

TEST_F(ServerTest, StatusAndMetricsCount) {
  Enrolled();
  const auto status = Call<v1::Status>(Stub<v1::StatusService>(Operator("viewer")),
                                       &v1::StatusService::Stub::GetStatus, {});
  ASSERT_OK(status.status());
  EXPECT_EQ(status->devices(), 1u);
  EXPECT_EQ(status->devices_seen_lately(), 1u);
  http::HttpsClient https(ToString(server_->http()), Trust(), {});
  std::string page;
  ASSERT_OK(https
                .Get("/metrics", 0, 1 << 20,
                     [&](ByteSpan piece) -> absl::Status {
                       page += AsText(piece);
                       return absl::OkStatus();
                     },
                     {std::chrono::seconds(10)})
                .status());
  EXPECT_THAT(page, HasSubstr("quantfleet_devices 1\n"));
  EXPECT_THAT(page, HasSubstr("quantfleet_enrollments_total{result=\"ok\"} 1\n"));
}

// Anybody may ask, without a certificate: it must not cost the daemon's disk anything, also where
// a device was just heard of.
TEST_F(ServerTest, PagesThatNeedNoCertificateWriteNothing) {
  const Device device = Enrolled();
  ASSERT_OK(CheckIn(Stub<v1::DeviceService>(device.tls())).status());
  const auto state = [this] {
    std::string bytes;
    for (const char* file : {"state.db", "state.db-wal"})
      bytes += RealFileSystem().ReadAll(config_.data / file).value();
    return HashText(bytes);
  };
  http::HttpsClient https(ToString(server_->http()), Trust(), {});
  const Digest before = state();
  for (const char* page : {"/readyz", "/metrics", "/livez"}) {
    const auto answer = https.Get(page, 0, 1 << 20, [](ByteSpan) { return absl::OkStatus(); },
                                  {std::chrono::seconds(10)});
    ASSERT_OK(answer.status());
    EXPECT_EQ(answer->status, 200) << page;
    EXPECT_EQ(state(), before) << page;
  }
}

}  // namespace
}  // namespace quantfleet::daemon
