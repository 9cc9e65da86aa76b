// quantfleet artifact list|show|delete|collect (scrub and repair: remote_scrub.cc)

#include <algorithm>
#include <iterator>

#include "cli/quality_text.h"
#include "cli/remote_context.h"
#include "cli/remote_format.h"
#include "common/base/bytes.h"
#include "pipeline/artifact/memory.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::cli {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

// "0.1043 ± 0.0031, 99th percentile 0.9120"
std::string KlText(const v1::EvaluationStatement& evaluation) {
  const std::string mean = WithError(evaluation.mean_kl(), evaluation.kl_error());
  if (evaluation.kl_error() <= 0) return mean;
  return fmt::format("{}, 99th percentile {:.4f}", mean, evaluation.kl_p99());
}

void PrintEvaluation(const v1::EvaluationStatement& evaluation) {
  const bool dequantized = evaluation.weights() == v1::EvaluationStatement::DEQUANTIZED;
  Rows rows{
      {"measured on",
       fmt::format("{} tokens, compared with {}, by {}", evaluation.tokens(),
                   Printable(evaluation.reference()), Printable(evaluation.engine()))},
      {"KV cache",
       fmt::format("{}{}", evaluation.kv_type().empty() ? "f32" : Printable(evaluation.kv_type()),
                   evaluation.context() > 0
                       ? fmt::format(", a context of {} tokens", evaluation.context())
                       : "")},
      {"weights",
       dequantized ? "its dequantized codes (another runtime runs the artifact)" : "as sealed"}};
  if (evaluation.vectors() > 0) {
    rows.front().second =
        fmt::format("{} vectors, compared with {}, by {}", evaluation.vectors(),
                    Printable(evaluation.reference()), Printable(evaluation.engine()));
    rows.emplace_back("cosine", fmt::format("{:.5f} on average, at least {:.5f}",
                                            evaluation.mean_cosine(), evaluation.least_cosine()));
  } else if (evaluation.tokens() == 0) {
    rows.front().second =
        "golden prompts only: the evaluation text is not of this model's kind (give the daemon one "
        "that is: `quantfleetd --evaluation-text FILE`)";
  } else {
    rows.emplace_back(
        "mean NLL",
        fmt::format("{} ({:+.4f})", WithError(evaluation.mean_nll(), evaluation.nll_error()),
                    evaluation.mean_nll() - evaluation.reference_mean_nll()));
    rows.emplace_back("top-1 agreement",
                      fmt::format("{:.1f} %", 100 * evaluation.top1_agreement()));
    rows.emplace_back("KL divergence", KlText(evaluation));
  }
  rows.emplace_back("golden prompts", fmt::format("{}", evaluation.golden_size()));
  PrintOut("\n" + Fields(rows));
}

// With each cache that the format's runtime has: what a class may ask for.
Rows NeedRows(const v1::Manifest& manifest) {
  const v1::Memory memory = pipeline::MemoryOf(manifest);
  Rows rows;
  std::vector<std::string_view> shown;  // layers that keep other tokens have a cache of their own
  for (const v1::KvCache& cache : memory.caches()) {
    if (std::ranges::find(shown, cache.type()) != shown.end()) continue;
    shown.push_back(cache.type());
    const auto need = pipeline::NeedOf(memory, 0, cache.type());
    if (need.ok())
      rows.emplace_back(rows.empty() ? "needs" : "with " + Printable(cache.type()),
                        Printable(pipeline::DescribeNeed(*need)));
  }
  if (memory.model_context() > 0)
    rows.emplace_back("context", fmt::format("at most {} tokens", memory.model_context()));
  return rows;
}

// "no", or what is wrong and what to do.
std::string DamageText(const v1::Artifact& artifact) {
  if (!artifact.has_damage()) return "no";
  const v1::ArtifactDamage& damage = artifact.damage();
  std::string lacks = damage.manifest() ? "its manifest" : "";
  if (damage.blobs() > 0)
    lacks += fmt::format("{}{} {}", lacks.empty() ? "" : " and ", damage.blobs(),
                         damage.blobs() == 1 ? "blob" : "blobs");
  return fmt::format("lacks {}: {} `{}`", lacks,
                     damage.job().empty() ? "run" : "a job makes it again, see",
                     Printable(damage.remedy()));
}

void PrintDetail(const v1::ArtifactDetail& detail, Time now) {
  const v1::Artifact& artifact = detail.artifact();
  const v1::Manifest& manifest = detail.manifest();
  const std::string instruction_sets = Join(manifest.requirements().instruction_sets(), ", ");
  Rows rows{{"name", artifact.name()},
            {"manifest", HexDigest(artifact.manifest_digest())},
            {"model", artifact.model()},
            {"version", VersionsText(artifact.versions())},
            {"source", fmt::format("{} ({}, {} parameters)", HexDigest(manifest.source().digest()),
                                   manifest.source().architecture(),
                                   HumanCount(manifest.source().parameters()))},
            {"format", artifact.format()},
            {"recipe", artifact.recipe()},
            {"size", fmt::format("{}, stored as {}", HumanBytes(artifact.size_bytes()),
                                 HumanBytes(artifact.stored_bytes()))},
            {"chunks", fmt::format("{}", artifact.chunks())},
            {"damaged", DamageText(artifact)}};
  std::ranges::move(NeedRows(manifest), std::back_inserter(rows));
  rows.emplace_back("instructions", instruction_sets);
  rows.emplace_back("statements", fmt::format("{} signed", detail.statements_size()));
  rows.emplace_back("created", fmt::format("{} ({})", UtcTime(artifact.created_ms()),
                                           Relative(artifact.created_ms(), now)));
  PrintOut(Fields(rows));
  for (const v1::EvaluationStatement& evaluation : detail.evaluations())
    PrintEvaluation(evaluation);
  if (detail.evaluations().empty() && detail.has_evaluation())
    PrintEvaluation(detail.evaluation());  // an older daemon
  Table files({"FILE", ">SIZE", ">CHUNKS"});
  for (const v1::ArtifactFile& file : manifest.files())
    files.Add({file.path(), HumanBytes(file.size()), fmt::format("{}", file.chunks_size())});
  PrintOut("\n" + files.ToString("no files"));
}

void AddArtifactList(CLI::App& group, const Remote& remote) {
  auto model = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "list", "List artifacts, newest first");
  command->add_option("--model", *model, "Only artifacts of this model");
  AddJsonOption(command, *json);
  command->callback([remote, model, json] {
    const v1::ListArtifactsResponse response =
        RpcValueOrExit(remote->Connect()->ListArtifacts(*model));
    if (*json) return PrintJson(response);
    Table table({"ARTIFACT", "MODEL", "VERSION", "FORMAT", "RECIPE", ">SIZE", ">STORED", ">CHUNKS",
                 "DAMAGED", "CREATED"});
    for (const v1::Artifact& artifact : response.artifacts())
      table.Add({ShortDigest(artifact.manifest_digest()), artifact.model(),
                 VersionsText(artifact.versions()), artifact.format(), artifact.recipe(),
                 HumanBytes(artifact.size_bytes()), HumanBytes(artifact.stored_bytes()),
                 fmt::format("{}", artifact.chunks()), artifact.has_damage() ? "yes" : "no",
                 Relative(artifact.created_ms(), remote->clock.Now())});
    PrintOut(
        table.ToString("no artifacts; make some with `quantfleet job submit MODEL --class CLASS`"));
    for (const v1::Artifact& artifact : response.artifacts())
      if (artifact.has_damage())
        Warn(fmt::format("{} {}", ShortDigest(artifact.manifest_digest()), DamageText(artifact)));
  });
}

void AddArtifactShow(CLI::App& group, const Remote& remote) {
  auto name = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command =
      AddCommand(group, "show", "Show an artifact: its manifest, signatures and measurements");
  command->add_option("NAME", *name, "artifacts/DIGEST, or the first digits of the digest")
      ->required();
  AddJsonOption(command, *json);
  command->callback([remote, name, json] {
    const v1::ArtifactDetail detail = RpcValueOrExit(remote->Connect()->GetArtifact(*name));
    if (*json) return PrintJson(detail);
    PrintDetail(detail, remote->clock.Now());
  });
}

void AddDelete(CLI::App& group, const Remote& remote) {
  auto names = std::make_shared<std::vector<std::string>>();
  CLI::App* command = AddCommand(
      group, "delete",
      "Delete artifacts that no device and no rollout needs; `collect` then frees their space");
  command
      ->add_option("NAME", *names,
                   "artifacts/DIGEST, or the first digits of the digest; may be repeated")
      ->required();
  command->callback([remote, names] {
    const auto client = remote->Connect();
    for (const std::string& name : *names) {
      const v1::Artifact artifact = RpcValueOrExit(client->DeleteArtifact(name));
      PrintOut(Printable(artifact.name()) + "\n");
    }
  });
}

void AddCollect(CLI::App& group, const Remote& remote) {
  auto dry_run = std::make_shared<bool>(false);
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "collect",
                                 "Free the space of everything that no artifact and no job needs "
                                 "(the daemon does this once a day)");
  command->add_flag("--dry-run", *dry_run, "Only print what would be freed");
  AddJsonOption(command, *json);
  command->callback([remote, dry_run, json] {
    const v1::CollectGarbageResponse done =
        RpcValueOrExit(remote->Connect()->CollectGarbage(*dry_run));
    if (*json) return PrintJson(done);
    PrintOut(Fields(
        {{*dry_run ? "would free" : "freed",
          fmt::format("{} in {} blobs", HumanBytes(done.bytes_removed()), done.blobs_removed())},
         {"kept", fmt::format("{} in {} blobs", HumanBytes(done.bytes_kept()), done.blobs_kept())},
         {"jobs forgotten", fmt::format("{}", done.jobs_forgotten())}}));
  });
}

}  // namespace

void AddArtifactCommands(CLI::App& app, const Remote& remote) {
  CLI::App& group = *AddGroup(app, "artifact", "Quantized models, ready for devices");
  AddArtifactList(group, remote);
  AddArtifactShow(group, remote);
  AddDelete(group, remote);
  AddCollect(group, remote);
  AddScrubCommands(group, remote);
}

}  // namespace quantfleet::cli
