// A daemon's side of an update in memory: keys that sign, artifacts cut into chunks, and blobs that
// can be tampered with or cut. For tests.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "agent/update/updater.h"
#include "common/trust/keys.h"
#include "common/trust/statement.h"
#include "pipeline/artifact/manifest.h"
#include "tests/agent/fake_sleeper.h"
#include "tests/agent/update/fake_host.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/noise.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {

inline constexpr char kDevice[] = "dev-1";
inline constexpr char kModel[] = "demo";

// Thread-safe but for its members that are public and change while it is asked.
class FakeBlobs final : public BlobSource {
 public:
  absl::Status Fetch(const BlobRange& range, const OnBytes& on_bytes,
                     std::stop_token stop) override {
    {
      std::lock_guard lock(mutex_);
      ++fetches[range.digest];
      requests.push_back(range);
    }
    if (on_fetch) on_fetch();
    std::unique_lock lock(mutex_);
    if (hanging.contains(range.digest)) {
      reached_ = true;
      hung_.notify_all();
      hung_.wait(lock, stop, [] { return false; });
    }
    if (stop.stop_requested()) return Cancelled("stopped");
    if (cut_after == 0) return Unavailable("connection reset");
    if (cut_after > 0) --cut_after;
    if (!error.ok()) return error;
    Bytes bytes = blobs.at(range.digest);
    EXPECT_EQ(bytes.size(), range.stored_size);
    if (auto bad = tampered.find(range.digest); bad != tampered.end() && bad->second > 0) {
      --bad->second;
      bytes[bytes.size() / 2] ^= std::byte{1};
    }
    lock.unlock();
    return Give(ByteSpan(bytes).subspan(range.first, range.size), on_bytes);
  }
  // Until a fetch hangs.
  void AwaitHanging() {
    std::unique_lock lock(mutex_);
    hung_.wait(lock, [this] { return reached_; });
  }

  std::map<Digest, Bytes> blobs;
  std::map<Digest, int> tampered;     // how many times it comes wrong
  int cut_after = -1;                 // fetches until the network goes; < 0: never
  uint64_t bytes_per_connection = 0;  // then it is cut; 0: never
  uint64_t bytes_per_packet = 0;      // 0: all at once
  std::function<void()> on_packet;    // before each
  std::set<Digest> hanging;           // nothing ever comes
  absl::Status error;
  std::function<void()> on_fetch;
  std::map<Digest, int> fetches;
  std::vector<BlobRange> requests;
  uint64_t bytes_fetched = 0;

 private:
  absl::Status Give(ByteSpan bytes, const OnBytes& on_bytes) {
    const bool cut = bytes_per_connection > 0 && bytes.size() > bytes_per_connection;
    if (cut) bytes = bytes.first(bytes_per_connection);
    while (!bytes.empty()) {
      const size_t size =
          std::min<size_t>(bytes.size(), bytes_per_packet > 0 ? bytes_per_packet : bytes.size());
      if (on_packet) on_packet();
      bytes_fetched += size;
      QF_RETURN_IF_ERROR(on_bytes(bytes.first(size)));
      bytes = bytes.subspan(size);
    }
    return cut ? Unavailable("connection reset") : absl::OkStatus();
  }

  std::mutex mutex_;
  std::condition_variable_any hung_;
  bool reached_ = false;
};

struct FakeArtifact {
  std::string content;
  v1::Manifest manifest;
  Digest digest;
  std::vector<Digest> chunks;
};

class FleetFixture : public ::testing::Test {
 protected:
  static constexpr size_t kChunk = 1000;

  // A file of random-looking bytes; equal seeds give equal chunks.
  FakeArtifact MakeArtifact(const std::vector<uint64_t>& chunk_seeds,
                            const v1::Memory* memory = nullptr) {
    FakeArtifact artifact;
    v1::Manifest& manifest = artifact.manifest;
    if (memory != nullptr) *manifest.mutable_requirements()->mutable_memory() = *memory;
    manifest.set_format_version(1);
    manifest.mutable_source()->set_digest(HashText("source").raw());
    manifest.mutable_source()->set_architecture("phi3");
    manifest.mutable_target()->set_format("gguf");
    manifest.mutable_target()->set_recipe("q4_0");
    v1::ArtifactFile* file = manifest.add_files();
    file->set_path("model.gguf");
    for (const uint64_t seed : chunk_seeds) {
      const Bytes plain = quantfleet::testing::Noise(kChunk, seed);
      const Digest digest = HashBytes(plain);
      v1::Chunk* chunk = file->add_chunks();
      chunk->set_digest(digest.raw());
      chunk->set_size(kChunk);
      artifact.content += AsText(plain);
      artifact.chunks.push_back(digest);
      blobs_.blobs[digest] = plain;
    }
    file->set_size(artifact.content.size());
    artifact.digest = pipeline::ManifestDigest(manifest);
    artifacts_[artifact.digest] = artifact;
    return artifact;
  }

  v1::Signed Sign(const v1::Assignment& assignment) {
    return trust::Sign(key_, trust::kAssignmentType, assignment.SerializeAsString());
  }
  v1::Assignment Assign(uint64_t release, const Digest& manifest) {
    v1::Assignment assignment;
    assignment.set_device_id(kDevice);
    assignment.set_model(kModel);
    assignment.set_release(release);
    assignment.set_manifest_digest(manifest.raw());
    return assignment;
  }
  v1::Signed Vouch(const Digest& manifest, const trust::SigningKey& key) {
    v1::ArtifactStatement statement;
    statement.set_manifest_digest(manifest.raw());
    return trust::Sign(key, trust::kArtifactStatementType, statement.SerializeAsString());
  }
  v1::TrustRoot TrustRoot() {
    v1::TrustRoot root;
    root.set_version(1);
    v1::VerifyKey* key = root.add_keys();
    key->set_key_id(key_.key_id());
    key->set_public_key(key_.public_key());
    key->add_payload_types(std::string(trust::kAssignmentType));
    key->add_payload_types(std::string(trust::kArtifactStatementType));
    key->add_payload_types(std::string(trust::kEvaluationStatementType));
    return root;
  }
  absl::StatusOr<v1::DeviceArtifact> GetArtifact(const v1::GetDeviceArtifactRequest& request) {
    QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromRaw(request.manifest_digest()));
    if (!artifacts_.contains(digest)) return PermissionDenied("it is not assigned any more");
    const FakeArtifact& artifact = artifacts_.at(digest);
    v1::DeviceArtifact answer;
    answer.set_manifest(pipeline::SerializeManifest(artifact.manifest));
    *answer.add_statements() = Vouch(digest, key_);
    if (golden_) {
      v1::EvaluationStatement evaluation;
      evaluation.set_manifest_digest(digest.raw());
      *evaluation.add_golden() = *golden_;
      *answer.add_statements() =
          trust::Sign(key_, trust::kEvaluationStatementType, evaluation.SerializeAsString());
    }
    for (const Digest& chunk : std::set(artifact.chunks.begin(), artifact.chunks.end())) {
      v1::StoredChunk* stored = answer.add_stored();
      stored->set_digest(chunk.raw());
      stored->set_encoding("raw");
      stored->set_stored_size(kChunk);
    }
    if (spoil_artifact) spoil_artifact(&answer);
    return answer;
  }
  UpdateEnvironment Environment(FileSystem& files) {
    return {.files = files,
            .random = random_,
            .sleeper = sleeper_,
            .clock = clock_,
            .budget = budget_,
            .blobs = blobs_,
            .host = host_,
            .get_artifact = [this](const auto& request) { return GetArtifact(request); },
            .trust_root = [this] { return TrustRoot(); },
            .turns = turns_,
            .min_bytes_per_second = min_bytes_per_second_,
            .on_change = [this](const v1::ModelStatus& status) { shown_.push_back(status); }};
  }

  trust::SigningKey key_ = trust::SigningKey::Generate();
  SeededRandom random_{1};
  FakeBlobs blobs_;
  FakeHost host_;
  FakeSleeper sleeper_;
  ManualClock clock_;
  Turns turns_;
  uint64_t min_bytes_per_second_ = 0;
  testing::TempDir budget_dir_;
  testing::FaultyFileSystem budget_files_;
  DataBudget budget_{budget_files_, budget_dir_ / "pulled.json", clock_};
  std::map<Digest, FakeArtifact> artifacts_;
  std::optional<v1::GoldenPrompt> golden_;  // of every artifact
  std::function<void(v1::DeviceArtifact*)> spoil_artifact;
  std::vector<v1::ModelStatus> shown_;
};

}  // namespace quantfleet::agent
