// The names of all metrics that the daemon exposes: dashboards and alerts depend on them.
#pragma once

namespace quantfleet::daemon {

inline constexpr char kMetricBuildInfo[] = "quantfleet_build_info";
inline constexpr char kMetricStartTime[] = "quantfleet_start_time_seconds";
inline constexpr char kMetricModels[] = "quantfleet_models";
inline constexpr char kMetricArtifacts[] = "quantfleet_artifacts";
inline constexpr char kMetricArtifactsDamaged[] = "quantfleet_artifacts_damaged";
inline constexpr char kMetricBlobsChecked[] = "quantfleet_blobs_checked_total";
inline constexpr char kMetricBlobsDamaged[] = "quantfleet_blobs_damaged_total";  // label kind
inline constexpr char kMetricScrubFinished[] = "quantfleet_scrub_finished_time_seconds";
inline constexpr char kMetricStoredBytes[] = "quantfleet_stored_bytes";
inline constexpr char kMetricDevices[] = "quantfleet_devices";
inline constexpr char kMetricDevicesSeen[] = "quantfleet_devices_seen_lately";
inline constexpr char kMetricDevicesPending[] = "quantfleet_devices_pending";
inline constexpr char kMetricJobs[] = "quantfleet_jobs";  // label state
inline constexpr char kMetricRolloutsRunning[] = "quantfleet_rollouts_running";
inline constexpr char kMetricCheckIns[] = "quantfleet_check_ins_total";
inline constexpr char kMetricEnrollments[] = "quantfleet_enrollments_total";  // label result
// The spelling of 0.1, served beside the new one until 0.3.
inline constexpr char kMetricEnrolments[] = "quantfleet_enrolments_total";
inline constexpr char kMetricRenewals[] = "quantfleet_certificate_renewals_total";  // label result
inline constexpr char kMetricHttpRequests[] = "quantfleet_http_requests_total";     // label code
inline constexpr char kMetricHttpConnections[] = "quantfleet_http_connections";
inline constexpr char kMetricHttpRefused[] = "quantfleet_http_connections_refused_total";
inline constexpr char kMetricGrpcConnections[] = "quantfleet_grpc_connections";
inline constexpr char kMetricGrpcStrangers[] = "quantfleet_grpc_strangers";
inline constexpr char kMetricGrpcRefused[] = "quantfleet_grpc_connections_refused_total";
inline constexpr char kMetricGrpcCut[] = "quantfleet_grpc_strangers_cut_total";
inline constexpr char kMetricBlobBytes[] = "quantfleet_blob_bytes_served_total";

}  // namespace quantfleet::daemon
