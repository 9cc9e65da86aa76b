#include "daemon/app/models.h"

#include <algorithm>

#include "common/base/bytes.h"
#include "daemon/app/page.h"
#include "pipeline/artifact/kind.h"

namespace quantfleet::daemon::app {
namespace {

v1::PushState ToProto(const ModelRegistry::PushProgress& progress) {
  v1::PushState state;
  state.set_push_id(progress.push_id);
  for (const auto& entry : progress.files) {
    v1::PushFile& file = *state.add_files();
    file.set_path(entry.file.path);
    file.set_size(entry.file.size);
    file.set_sha256(entry.file.sha256.raw());
    file.set_received(entry.received);
  }
  return state;
}

v1::ModelVersion VersionOf(const v1::Model& model, const std::vector<v1::Artifact>& artifacts) {
  v1::ModelVersion version;
  version.set_version(model.version());
  version.set_files_digest(model.files_digest());
  version.set_created_ms(model.created_ms());
  version.set_created_by(model.created_by());
  version.set_size_bytes(model.size_bytes());
  *version.mutable_adapters() = model.adapters();
  version.set_artifacts(
      static_cast<uint64_t>(std::ranges::count_if(artifacts, [&](const v1::Artifact& artifact) {
        const auto& of = artifact.versions();
        return std::ranges::find(of, model.version()) != of.end();
      })));
  return version;
}

Role RoleToBring(std::string_view model) {
  return pipeline::KindOfModel(model) == pipeline::ArtifactKind::kProgram ? Role::kAdmin
                                                                          : Role::kPublisher;
}

}  // namespace

absl::Status PushSession::Write(const v1::PushData& data) {
  if (data.push_id() != push_id_)
    return InvalidArgument("a stream can write to only one push, not also to {}", data.push_id());
  return models_->WritePush(push_id_, data.path(), data.offset(), AsBytes(data.data()));
}

absl::StatusOr<v1::PushState> PushSession::Sync() {
  QF_ASSIGN_OR_RETURN(const ModelRegistry::PushProgress progress, models_->SyncPush(push_id_));
  return ToProto(progress);
}

absl::StatusOr<v1::Model> Models::Import(const Caller& caller,
                                         const v1::ImportModelRequest& request) {
  QF_ASSIGN_OR_RETURN(const std::string by, callers_.Operator(caller, RoleToBring(request.name())));
  return backend_.models.Import(request.request_id(), request.name(), request.path(), by);
}

absl::StatusOr<v1::PushState> Models::BeginPush(const Caller& caller,
                                                const v1::BeginPushRequest& request) {
  QF_RETURN_IF_ERROR(
      callers_.Operator(caller, request.dry_run() ? Role::kViewer : RoleToBring(request.name()))
          .status());
  std::vector<PushedFile> files;
  for (const v1::PushFile& file : request.files()) {
    const auto sha256 = Digest::FromRaw(file.sha256());
    if (!sha256.ok()) return InvalidArgument("{}: sha256 must have 32 bytes", file.path());
    files.push_back({file.path(), file.size(), *sha256});
  }
  if (request.dry_run()) {
    QF_ASSIGN_OR_RETURN(const ModelRegistry::PushProgress plan,
                        backend_.models.PlanPush(request.name(), files));
    return ToProto(plan);
  }
  QF_ASSIGN_OR_RETURN(const ModelRegistry::PushProgress progress,
                      backend_.models.BeginPush(request.request_id(), request.name(), files));
  return ToProto(progress);
}

absl::StatusOr<PushSession> Models::OpenPush(const Caller& caller, std::string_view push_id) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kPublisher).status());
  return PushSession(backend_.models, std::string(push_id));
}

absl::StatusOr<v1::Model> Models::CommitPush(const Caller& caller,
                                             const v1::CommitPushRequest& request) {
  QF_ASSIGN_OR_RETURN(const std::string by, callers_.Operator(caller, Role::kPublisher));
  return backend_.models.CommitPush(request.push_id(), by);
}

absl::StatusOr<v1::ListModelsResponse> Models::List(const Caller& caller,
                                                    const v1::ListModelsRequest&) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  v1::ListModelsResponse response;
  QF_RETURN_IF_ERROR(
      FillList(response.mutable_models(), backend_.store.Read([&](const Transaction& tx) {
        auto list = tx.models().List();
        NameDamaged(tx, response);
        return list;
      })));
  for (v1::Model& model : *response.mutable_models())
    model = backend_.models.Shown(std::move(model));
  return response;
}

absl::StatusOr<v1::Model> Models::Get(const Caller& caller, const v1::GetModelRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  QF_ASSIGN_OR_RETURN(v1::Model found,
                      backend_.store.Read([&](const Transaction& tx) -> absl::StatusOr<v1::Model> {
                        QF_ASSIGN_OR_RETURN(const std::vector<v1::Model> versions,
                                            tx.models().ListVersions(request.name()));
                        QF_ASSIGN_OR_RETURN(const std::vector<v1::Artifact> artifacts,
                                            tx.artifacts().List(request.name()));
                        v1::Model model = versions.front();
                        for (const v1::Model& version : versions)
                          *model.add_versions() = VersionOf(version, artifacts);
                        return model;
                      }));
  return backend_.models.Shown(std::move(found));
}

}  // namespace quantfleet::daemon::app
