#!/usr/bin/env bash
# Builds quantfleet with the release preset and runs its tests: unit, end to end, judges. Installs what it needs; may be rerun.
#
# usage: deploy/run-tests.sh [--full] [--only WHAT]
#   --full       also sanitizers (asan+ubsan, tsan), fuzzers for a limited time, lint, and the aarch64 build under an emulator
#   --only WHAT  one of: unit e2e asan tsan fuzz lint aarch64
# Environment: QUANTFLEET_FUZZ_SECONDS (default 10 per target), QUANTFLEET_SHARED (optional reference material),
#   QUANTFLEET_THOROUGH=1 (every similar case end to end).
set -euo pipefail
umask 022 # quantfleet refuses folders that others may write to, including those that tests create
cd "$(dirname "${BASH_SOURCE[0]}")/.."

full=0 only=""
while (($#)); do
  case "$1" in
    --full) full=1 ;;
    --only) only="${2:?--only needs a word}"; shift ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "run-tests: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done

kept=$(mktemp -d)
judges=  # id of the process that installs the judges
trap '[[ -z $judges ]] || kill "$judges" 2>/dev/null; rm -rf "$kept"' EXIT
passed=0 failed=0 failures=() skipped=()
started=$SECONDS

wants() {
  if [[ -n $only ]]; then [[ $only == "$1" ]]; else [[ $1 == unit || $1 == e2e || $full == 1 ]]; fi
}

# step NAME COMMAND...: runs the command and continues with the next step whatever the result, so that one run shows everything.
# The output of a step is kept, and the end of it is printed again at the end of the run if the step failed, since it would
# otherwise be lost in hours of output. Exit code 77, a convention of test runners, means that the step could not be run here;
# the last line of output says why.
step() {
  local name=$1 at=$SECONDS status=0
  shift
  echo "== $name"
  "$@" 2>&1 | tee "$kept/$name" || status=$?
  if ((status == 0)); then
    passed=$((passed + 1))
    echo "== $name: ok ($((SECONDS - at)) s)"
  elif ((status == 77)); then
    skipped+=("$name: $(tail -n 1 "$kept/$name")")
    echo "== $name: SKIPPED"
  else
    failed=$((failed + 1)) failures+=("$name")
    echo "== $name: FAILED ($((SECONDS - at)) s)"
  fi
}

build() { cmake --preset "$1" >/dev/null && cmake --build --preset "$1" -- "${@:2}"; }

unit() { ctest --test-dir "build/$1" --output-on-failure --no-tests=error -j "$(nproc)" "${@:2}"; }

# e2e PRESET FILE...: one process per test file (repeated names count once), each with its output in one piece, failed ones last;
# two more at a time than there are cores, because the tests spend much of their time waiting.
e2e() {
  local preset=$1 logs=build/$1/e2e file status=0
  shift
  mkdir -p "$logs"
  rm -f "$logs"/*.failed
  export QUANTFLEET_BIN="$PWD/build/$preset/bin"
  # shellcheck disable=SC2016
  printf '%s\n' "$@" | awk '!seen[$0]++' | xargs -P "$(($(nproc) + 2))" -n 1 sh -c '
    name=$(basename "$1" .py); log=$0/$name.log
    cd tests/e2e && /usr/bin/python3 -W error::ResourceWarning -m unittest -v "$name" >"$OLDPWD/$log" 2>&1
    if [ $? = 0 ]; then cat "$OLDPWD/$log"; else mv "$OLDPWD/$log" "$OLDPWD/${log%.log}.failed"; fi' "$logs" || status=1
  for file in "$logs"/*.failed; do
    [[ -e $file ]] || continue
    status=1
    echo "-- $(basename "$file" .failed)"
    cat "$file"
  done
  return "$status"
}

# Every target for a limited time, one per core at a time; inputs that make one fail are kept in build/fuzz.
fuzz() {
  export QUANTFLEET_FUZZ_SECONDS=${QUANTFLEET_FUZZ_SECONDS:-10}
  build asan fuzzers || return 1
  mkdir -p build/fuzz
  # shellcheck disable=SC2016
  printf '%s\n' build/asan/bin/fuzz_* | xargs -P "$(nproc)" -n 1 sh -c '
    name=$(basename "$1") corpus=build/fuzz/corpus/$(basename "$1") log=build/fuzz/$(basename "$1").log
    mkdir -p "$corpus"
    set -- "$1" "$corpus"; [ ! -d "tests/fuzz/corpus/$name" ] || set -- "$@" "tests/fuzz/corpus/$name"
    "$@" -max_total_time="$QUANTFLEET_FUZZ_SECONDS" -timeout=10 -rss_limit_mb=2048 \
      -artifact_prefix="build/fuzz/$name-" >"$log" 2>&1
    status=$?
    echo "$name: $(grep -E "^(Done|SUMMARY|ERROR)" "$log" | head -3 || tail -1 "$log")"
    [ $status = 0 ] || tail -60 "$log" >&2
    exit $status' sh
}

# clang-tidy a library at a time, as the sanitizer build has them: one reading of the headers serves all files of a folder.
lint() {
  cmake --preset asan >/dev/null && tests/lint/include_arrows.py || return 1
  python3 -m unittest discover -s tests/lint || return 1
  tests/lint/format.py && tests/lint/sentences.py && tests/lint/service_paths.py || return 1
  build asan qf_proto qf_services qf_onnx_proto >/dev/null || return 1
  python3 -c 'import json, os
for command in json.load(open("build/asan/compile_commands.json")): print(os.path.relpath(command["file"]))' |
    grep -E '^(build/asan/)?(common|text|pipeline|engine|agent|daemon|cli)/' |
    xargs -P "$(nproc)" -n 1 clang-tidy-19 -p build/asan --quiet 2>/dev/null
}

# Cross-built, and run by an emulator: tests/aarch64.
aarch64() {
  deploy/install-deps.sh --aarch64 || { echo "cannot install the compiler and the emulator for aarch64"; return 77; }
  deploy/aarch64-sysroot.sh || return
  build release quantfleet quantfleet-agent codec_tool || return
  build aarch64 quantfleet-agent codec_tool no_crypto \
    {base,trust,tokenizer,tensor,rounding,model,family,recipe,format,artifact,stage,kernels,decode,measure}_test \
    agent_platform_test || return
  (cd tests/aarch64 && /usr/bin/python3 -W error::ResourceWarning -m unittest -v test_aarch64)
}

level=--test
((full)) && level=--full
[[ $only =~ ^(asan|tsan|fuzz|lint)$ ]] && level=--full
step "install packages" deploy/install-deps.sh "$level"
((failed)) && exit 1

# Installing the judges and fetching weights mostly waits for the network, so they run in parallel with the build.
install_judges() {
  tests/judges/install.sh && tests/models/fetch.sh || return
  ((full)) || return 0
  # Without them their tests are skipped, and say so.
  tests/judges/runtimes/install.sh || echo "the runtimes (OpenVINO, ONNX Runtime GenAI, mlx-lm) could not be installed"
}
if wants e2e; then
  install_judges >"$kept/judges.log" 2>&1 &
  judges=$!
fi

if wants unit || wants e2e; then
  step "build release" build release
  ((failed)) && exit 1
  step "include arrows" tests/lint/include_arrows.py
fi
wants unit && step "unit tests" unit release
if wants e2e; then
  # Wait here, since a step runs in a process of its own and cannot wait for this child.
  installed=0
  wait "$judges" || installed=$?
  judges=
  # shellcheck disable=SC2016
  step "install judges and weights" sh -c 'cat "$0"; exit "$1"' "$kept/judges.log" "$installed"
  # Longer deadlines, because more tests run than there are cores. QUANTFLEET_THOROUGH=1 tries every similar case, which takes
  # several times as long. The longest tests run first.
  step "end to end" env QUANTFLEET_TEST_SLOWNESS=3 bash -c "$(declare -f e2e)"'; e2e release \
    tests/e2e/test_{int4_sense,kill_job,kill_rollout,models,rollout,calibrate,recipes}.py tests/e2e/test_*.py'
fi
if wants asan; then
  step "build asan" build asan
  step "unit tests, asan+ubsan" unit asan
  # These cover every part of the daemon, the agent and the CLI. The other kill tests and the judges of formats mostly look at
  # files, which a sanitizer does not see. Kill tests are about restarts, not size, so they use a small model.
  files=(tests/e2e/test_{rollout,evaluation,kill_fleet,kill_agent,main_path,recipes,server,enrollment,kill_quantize}.py
    tests/e2e/test_{bad_input,mlx,recovery}.py)
  step "end to end, asan+ubsan" env QUANTFLEET_TEST_SLOWNESS=6 QUANTFLEET_SANITIZED=1 QUANTFLEET_KILL_MEGABYTES=20 \
    bash -c "$(declare -f e2e)"'; e2e asan "$@"' sh "${files[@]}"
fi
if wants tsan; then
  # Debian's gRPC and absl::Mutex are not instrumented and cause many false reports in tsan, so only tests that use neither run.
  # Protobuf's maps are laid out differently under tsan than in Debian's library, so agent_platform_test is left out.
  targets=(base_test trust_test tokenizer_test tensor_test model_test family_test recipe_test format_test artifact_test stage_test
    folder_blobs_test kernels_test decode_test calibrate_test measure_test http_test agent_serve_test agent_external_test
    daemon_store_test daemon_store_sqlite_test daemon_trust_test daemon_jobs_test)
  step "build tsan" build tsan "${targets[@]}"
  step "unit tests, tsan" unit tsan -L "^($(IFS='|'; echo "${targets[*]}"))\$"
fi
wants fuzz && step "fuzz" fuzz
wants lint && step "lint" lint
wants aarch64 && step "aarch64" aarch64

echo
for name in "${failures[@]}"; do
  echo "== $name: FAILED; the end of its output:"
  tail -n 100 "$kept/$name"
done
echo "run-tests: $((SECONDS - started)) s"
for name in "${failures[@]}"; do echo "run-tests: failed: $name"; done
for what in "${skipped[@]}"; do echo "run-tests: skipped: $what"; done
echo "$passed passed, $failed failed, ${#skipped[@]} skipped"
((failed == 0))
