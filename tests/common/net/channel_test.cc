#include "common/net/channel.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <future>

#include "common/base/retry_after.h"
#include "tests/common/net/tls_fixture.h"
#include "tests/support/held_port.h"

namespace quantfleet::net {
namespace {

using Code = absl::StatusCode;

grpc::ByteBuffer ToBuffer(const std::string& text) {
  grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

std::string ToText(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  (void)buffer.Dump(&slices);
  std::string text;
  for (const grpc::Slice& slice : slices)
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return text;
}

// Any method of it answers with the caller's certificate; /fail answers with an error.
class WhoAmI final : public grpc::CallbackGenericService {
  class Reactor final : public grpc::ServerGenericBidiReactor {
   public:
    explicit Reactor(grpc::GenericCallbackServerContext* context) : context_(context) {
      StartRead(&request_);
    }
    void OnReadDone(bool ok) override {
      if (context_->method() == "/fail") return Finish(ToGrpc(NotFound("no such {}", "thing")));
      if (context_->method() == "/wait") {
        const absl::Status wait = WithRetryAfter(ResourceExhausted("later"), Duration(1500));
        AddRetryAfter(*context_, wait);
        return Finish(ToGrpc(wait));
      }
      if (!ok) return Finish(grpc::Status::OK);
      response_ = ToBuffer(PeerCertificate(*context_));
      StartWriteAndFinish(&response_, {}, grpc::Status::OK);
    }
    void OnDone() override { delete this; }

   private:
    grpc::GenericCallbackServerContext* context_;
    grpc::ByteBuffer request_, response_;
  };

 public:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new Reactor(context);
  }
};

class ChannelTest : public TlsFixture {
 protected:
  // Serves with a certificate of `issuer`; `client_ca` is what client certificates are held
  // against.
  void Serve(const trust::CertificateAuthority& issuer,
             std::optional<ClientIdentity> identity = {}) {
    const ClientIdentity server = identity ? *identity : ServerIdentity(issuer);
    grpc::ServerBuilder builder;
    ConfigureServer(builder);
    builder.AddListeningPort(
        port_.endpoint(), MakeServerCredentials(issuer.certificate_pem(),
                                                server.certificate_pem + issuer.certificate_pem(),
                                                server.private_pem));
    service_ = std::make_unique<WhoAmI>();  // serves one server only
    builder.RegisterCallbackGenericService(service_.get());
    server_ = builder.BuildAndStart();
    ASSERT_TRUE(server_);
  }

  absl::StatusOr<std::string> Call(const ServerTrust& trust, const ClientIdentity& identity = {},
                                   const std::string& method = "/who") {
    return CallOver(MakeChannel(port_.endpoint(), trust, identity), method);
  }
  absl::StatusOr<std::string> CallOver(const std::shared_ptr<grpc::Channel>& channel,
                                       const std::string& method = "/who") {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    const grpc::ByteBuffer request = ToBuffer("?");
    grpc::ByteBuffer response;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, method, {}, &request, &response,
                   [&](grpc::Status s) { done.set_value(std::move(s)); });
    QF_RETURN_IF_ERROR(FromGrpc(done.get_future().get(), context));
    return ToText(response);
  }

  ServerTrust Pinned() const { return {ca_.certificate_pem(), {}, {}}; }
  ServerTrust FirstContact() const { return {"", ca_.fingerprint(), {}}; }

  std::unique_ptr<WhoAmI> service_;
  const testing::HeldPort port_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(ChannelTest, PinnedCaWithoutIdentity) {
  Serve(ca_);
  const auto answer = Call(Pinned());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, "") << "no certificate was presented";
}

TEST_F(ChannelTest, FirstContactByFingerprint) {
  Serve(ca_);
  const auto answer = Call(FirstContact());
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_F(ChannelTest, ServerSeesTheClientsCertificate) {
  Serve(ca_);
  const ClientIdentity device = DeviceIdentity(ca_, "d1"), other = DeviceIdentity(ca_, "d2");
  for (const ClientIdentity* identity : {&device, &other, &device}) {
    const auto answer = Call(Pinned(), *identity);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(*answer, identity->certificate_pem);
  }
}

TEST_F(ChannelTest, ARefusalSaysWhenToAskAgain) {
  Serve(ca_);
  const absl::Status wait = Call(Pinned(), {}, "/wait").status();
  EXPECT_EQ(wait.code(), Code::kResourceExhausted);
  EXPECT_EQ(RetryAfter(wait), Duration(1500));
  EXPECT_EQ(RetryAfter(Annotate(wait, "asking")), Duration(1500));
  EXPECT_EQ(RetryAfter(Call(Pinned(), {}, "/fail").status()), std::nullopt);
}

TEST_F(ChannelTest, ForeignServerIsRefused) {
  Serve(foreign_ca_);
  for (const ServerTrust& trust : {Pinned(), FirstContact()}) {
    const auto answer = Call(trust);
    EXPECT_EQ(answer.status().code(), Code::kUnavailable) << answer.status();
    EXPECT_NE(Message(answer.status()).find("CA"), std::string::npos) << answer.status();
  }
}

TEST_F(ChannelTest, ForeignLeafBesideTheTrueCaIsRefused) {
  const ClientIdentity leaf = ServerIdentity(foreign_ca_);
  Serve(ca_, leaf);
  for (const ServerTrust& trust : {Pinned(), FirstContact()})
    EXPECT_EQ(Call(trust).status().code(), Code::kUnavailable);
}

TEST_F(ChannelTest, ADeviceCannotPlayTheServer) {
  Serve(ca_, DeviceIdentity(ca_, "d1"));
  const auto status = Call(Pinned()).status();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_NE(Message(status).find("not a server's certificate"), std::string::npos) << status;
}

TEST_F(ChannelTest, TheServersAddressNeedNotStandInItsCertificate) {
  Serve(ca_, Identity(ca_, {Kind::kServer, "quantfleetd", "", {"elsewhere"}, {}}));
  const auto answer = Call(Pinned());
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_F(ChannelTest, NothingPinnedTrustsNobody) {
  Serve(ca_);
  EXPECT_EQ(Call({}).status().code(), Code::kUnavailable);
}

TEST_F(ChannelTest, ValidityFollowsTheTimeThatTheCallerBelieves) {
  Serve(ca_);
  ServerTrust trust = Pinned();
  trust.time = [this] { return clock_.Now() + std::chrono::hours(48); };
  EXPECT_EQ(Call(trust).status().code(), Code::kUnavailable);
  trust.time = [] { return FromUnixMillis(0); };
  EXPECT_EQ(Call(trust).status().code(), Code::kUnavailable);
  trust.time = [] { return std::nullopt; };
  EXPECT_TRUE(Call(trust).ok());
}

TEST_F(ChannelTest, ForeignClientIsRefused) {
  Serve(ca_);
  EXPECT_EQ(Call(Pinned(), DeviceIdentity(foreign_ca_, "d1")).status().code(), Code::kUnavailable);
}

TEST_F(ChannelTest, ExpiredClientIsRefused) {
  Serve(ca_);
  EXPECT_EQ(Call(Pinned(), DeviceIdentity(ca_, "d1", std::chrono::minutes(-30))).status().code(),
            Code::kUnavailable);
}

TEST_F(ChannelTest, StatusKeepsCodeAndMessage) {
  Serve(ca_);
  const auto status = Call(Pinned(), {}, "/fail").status();
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_EQ(Message(status), "no such thing");
  EXPECT_TRUE(FromGrpc(ToGrpc(absl::OkStatus())).ok());
}

// Calls that fail at once never let the channel connect: a restarted daemon was found after 15 s to
// 30 s.
TEST_F(ChannelTest, ARestartedServerIsFoundSoon) {
  Serve(ca_);
  const auto channel = MakeChannel(port_.endpoint(), Pinned(), {});
  EXPECT_TRUE(AwaitConnection(*channel, std::chrono::seconds(0)))
      << "the first call connects by itself";
  ASSERT_TRUE(CallOver(channel).ok());
  EXPECT_TRUE(AwaitConnection(*channel, std::chrono::seconds(0)));
  server_->Shutdown();
  server_.reset();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(CallOver(channel).status().code(), Code::kUnavailable);
    EXPECT_FALSE(AwaitConnection(*channel, std::chrono::milliseconds(50)));
  }
  Serve(ca_);
  EXPECT_TRUE(AwaitConnection(*channel, std::chrono::seconds(10)));
  const auto answer = CallOver(channel);
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_F(ChannelTest, NobodyListeningIsUnavailable) {
  Serve(ca_);
  server_->Shutdown();
  EXPECT_EQ(Call(Pinned()).status().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace quantfleet::net
