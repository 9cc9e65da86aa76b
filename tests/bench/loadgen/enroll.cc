#include <atomic>
#include <thread>

#include "cli/remote_client.h"
#include "common/base/random.h"
#include "common/trust/certificate.h"
#include "tests/bench/loadgen/identities.h"
#include "tests/bench/loadgen/line.h"
#include "tests/bench/loadgen/outcomes.h"
#include "tests/bench/loadgen/scenarios.h"

namespace quantfleet::loadgen {
namespace {

constexpr int64_t kTokenSeconds = 3600;

v1::HardwareFacts SmallBoard() {
  v1::HardwareFacts facts;
  facts.set_arch("x86_64");
  facts.set_os("linux");
  facts.set_cpu_model("simulated");
  facts.set_cores(4);
  facts.add_instruction_sets("avx2");
  facts.set_memory_total_bytes(uint64_t{2} << 30);
  facts.set_memory_available_bytes(uint64_t{1} << 30);
  facts.set_disk_free_bytes(uint64_t{8} << 30);
  facts.set_form("iot");
  facts.add_runtimes("embedded");
  return facts;
}

absl::StatusOr<std::string> MakeToken(const Target& target) {
  v1::CreateTokenRequest request;
  SecureRandom random;
  request.set_request_id(random.Id("loadgen-"));
  request.set_description("quantfleet-loadgen");
  request.set_ttl_seconds(kTokenSeconds);
  QF_ASSIGN_OR_RETURN(const v1::CreateTokenResponse made,
                      cli::OperatorClient(target.admin).CreateToken(request));
  return made.secret();
}

absl::StatusOr<Identity> EnrollOne(Line& line, const std::string& token) {
  const trust::KeyPair key = trust::GenerateTlsKey();
  v1::EnrollRequest request;
  request.set_token(token);
  QF_ASSIGN_OR_RETURN(*request.mutable_csr_pem(),
                      trust::MakeCsr(key.private_pem, "quantfleet-device"));
  *request.mutable_facts() = SmallBoard();
  request.set_agent_version(QUANTFLEET_VERSION);
  QF_ASSIGN_OR_RETURN(const v1::Identity granted, line.Enroll(request));
  return Identity{granted.device_id(), granted.certificate_pem(), key.private_pem};
}

}  // namespace

Report Enroll(const Common& common, const EnrollOptions& options) {
  QF_ASSIGN_OR_RETURN(const Target target, ReadTarget(common.data));
  QF_ASSIGN_OR_RETURN(const auto writer, IdentityWriter::Open(common.identities));
  QF_ASSIGN_OR_RETURN(const std::string token, MakeToken(target));
  QF_ASSIGN_OR_RETURN(const Meter meter, Meter::Begin(target));
  Outcomes outcomes;
  std::atomic<uint64_t> next{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < options.threads; ++i)
      threads.emplace_back([&] {
        Line line(target.grpc, target.admin.ca_pem, {});
        while (next++ < options.devices) {
          const SteadyTime due = std::chrono::steady_clock::now();
          outcomes.Begin();
          const auto identity = EnrollOne(line, token);
          outcomes.End(due, identity.ok() ? writer->Add(*identity) : identity.status());
        }
      });
  }
  QF_ASSIGN_OR_RETURN(boost::json::object report, meter.Read());
  report["enrollments"] = outcomes.Report();
  report["errors"] = outcomes.errors();
  report["per_second"] =
      static_cast<double>(options.devices - outcomes.errors()) / report["seconds"].as_double();
  return report;
}

}  // namespace quantfleet::loadgen
