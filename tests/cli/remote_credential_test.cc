#include "cli/remote_credential.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <map>

#include "common/trust/certificate.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::cli {
namespace {

class CredentialTest : public ::testing::Test {
 protected:
  CredentialTest() {
    const auto ca = trust::CertificateAuthority::Create("test CA", clock_);
    const trust::KeyPair key = trust::GenerateTlsKey();
    json_ = {{"server", "fleet.example:7443"},
             {"ca_pem", ca.certificate_pem()},
             {"certificate_pem",
              *ca.Issue(key.public_pem, {trust::Subject::Kind::kOperator, "ada", "admin", {}, {}},
                        std::chrono::hours(1), clock_)},
             {"private_pem", key.private_pem}};
  }
  absl::StatusOr<Credential> Load(const std::string& server = "") {
    return LoadText(boost::json::serialize(json_), server);
  }
  absl::StatusOr<Credential> LoadText(std::string_view text, const std::string& server = "") {
    EXPECT_TRUE(RealFileSystem().WriteAtomically(path_, AsBytes(text), OpenMode::kPrivate).ok());
    return LoadCredential(RealFileSystem(), clock_, path_, server);
  }
  void ExpectError(const absl::Status& status, const std::string& word) {
    EXPECT_FALSE(status.ok());
    EXPECT_NE(Message(status).find(word), std::string::npos) << status;
    EXPECT_NE(Message(status).find(path_.string()), std::string::npos)
        << "names the file: " << status;
    EXPECT_EQ(Message(status).find("PRIVATE KEY"), std::string::npos)
        << "keeps the key: " << status;
  }

  ManualClock clock_;
  testing::TempDir dir_;
  fs::path path_ = dir_ / "admin.json";
  boost::json::object json_;
};

TEST_F(CredentialTest, LoadsAndLetsTheServerBeOverridden) {
  const auto credential = Load();
  ASSERT_TRUE(credential.ok()) << credential.status();
  EXPECT_EQ(credential->server, "fleet.example:7443");
  EXPECT_EQ(Load("127.0.0.1:1")->server, "127.0.0.1:1");
  json_.erase("server");
  EXPECT_TRUE(Load("127.0.0.1:1").ok());
}

TEST_F(CredentialTest, MissingFileSaysWhereOneComesFrom) {
  const auto status = LoadCredential(RealFileSystem(), clock_, path_, "").status();
  ExpectError(status, "DATA/admin.json");
}

TEST_F(CredentialTest, DamagedFilesAreNamed) {
  ExpectError(LoadText("").status(), "JSON");
  ExpectError(LoadText("[1]").status(), "JSON");
  ExpectError(LoadText("{\"server\": 1}").status(), "server");
  for (const char* field : {"server", "ca_pem", "certificate_pem", "private_pem"}) {
    const boost::json::object whole = json_;
    json_[field] = "";
    ExpectError(Load().status(), field);
    json_.erase(field);
    ExpectError(Load().status(), field);
    json_ = whole;
  }
}

TEST_F(CredentialTest, KeysThatDoNotFitAreFoundBeforeConnecting) {
  const boost::json::object whole = json_;
  json_["private_pem"] = trust::GenerateTlsKey().private_pem;
  ExpectError(Load().status(), "belong together");
  for (const char* field : {"ca_pem", "certificate_pem", "private_pem"}) {
    json_ = whole;
    json_[field] = "-----BEGIN NONSENSE-----";
    ExpectError(Load().status(), "PEM");
  }
}

TEST_F(CredentialTest, ACertificateThatTheDaemonWouldRefuseIsFoundBeforeConnecting) {
  clock_.Advance(std::chrono::hours(2));
  EXPECT_EQ(Load().status().code(), absl::StatusCode::kUnauthenticated);
  ExpectError(Load().status(), "expired");
  clock_.Advance(std::chrono::hours(-2));
  json_["ca_pem"] = trust::CertificateAuthority::Create("test CA", clock_).certificate_pem();
  EXPECT_EQ(Load().status().code(), absl::StatusCode::kUnauthenticated);
  ExpectError(Load().status(), "CA");
}

TEST_F(CredentialTest, OneThatOthersMayReadIsRefusedWithTheCommandThatMendsIt) {
  ASSERT_TRUE(Load().ok());
  for (const int mode : {0644, 0640, 0666}) {
    fs::permissions(path_, static_cast<fs::perms>(mode));
    const auto status = LoadCredential(RealFileSystem(), clock_, path_, "").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    ExpectError(status, "chmod 600");
  }
  fs::permissions(path_, fs::perms::owner_read);
  EXPECT_TRUE(LoadCredential(RealFileSystem(), clock_, path_, "").ok());
}

TEST_F(CredentialTest, BadAddresses) {
  for (const char* address : {"localhost", ":7443", "localhost:"})
    EXPECT_EQ(Load(address).status().code(), absl::StatusCode::kInvalidArgument) << address;
}

TEST(CredentialPath, OptionThenVariableThenHome) {
  std::map<std::string, std::string> variables = {{"HOME", "/home/ada"}};
  const auto get = [&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
  EXPECT_EQ(CredentialPath("", get), "/home/ada/.config/quantfleet/credential.json");
  variables["XDG_CONFIG_HOME"] = "/xdg";
  EXPECT_EQ(CredentialPath("", get), "/xdg/quantfleet/credential.json");
  variables["QUANTFLEET_CREDENTIAL"] = "/elsewhere.json";
  EXPECT_EQ(CredentialPath("", get), "/elsewhere.json");
  EXPECT_EQ(CredentialPath("/option.json", get), "/option.json");
}

}  // namespace
}  // namespace quantfleet::cli
