#!/usr/bin/env bash
# From nothing to three different devices running one model: installs, builds, starts a daemon and three agents on this
# machine, rolls a model out, asks each device for the same completion, and stops everything again.
#
# usage: deploy/quickstart.sh [--keep] [--runtimes]
#   --keep      keep the folder with the data and logs of the daemon and the agents, and print its path
#   --runtimes  four devices instead, each with another runtime: the agent's own engine, ONNX Runtime, OpenVINO and MLX, which
#               deploy/runtimes/install.sh installs (downloads 190 MB)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

keep=0
# DEVICE FORM BYTES-OF-MEMORY CLASS RUNTIME
devices=("board iot 2147483648 iot-int4 own" "laptop pc 17179869184 ai-pc-int8 own" "gateway edge 34359738368 edge-fp16 own")
while (($#)); do
  case "$1" in
    --keep) keep=1 ;;
    --runtimes)
      devices=("pc-gguf pc 17179869184 ai-pc-int8 own" "pc-onnx pc 17179869184 ai-pc-onnx-int8 onnxruntime"
        "pc-openvino pc 17179869184 ai-pc-openvino-int4 openvino" "pc-mlx pc 17179869184 mac-mlx-int4 mlx")
      ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "quickstart: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done

work=$(mktemp -d -t quantfleet-quickstart-XXXXXX)
pids=()
finish() {
  local status=$?
  ((${#pids[@]})) && kill "${pids[@]}" 2>/dev/null
  wait 2>/dev/null || true
  if ((status)); then
    echo "quickstart: failed; the last lines of each log:" >&2
    tail -n 15 "$work"/*.log >&2 2>/dev/null || true
  fi
  if ((keep)); then echo "quickstart: data and logs are in $work"; else rm -rf "$work"; fi
}
trap finish EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
# until_true WHAT SECONDS COMMAND...
until_true() {
  local what=$1 end=$((SECONDS + $2))
  shift 2
  until "$@"; do
    ((SECONDS < end)) || { echo "quickstart: gave up waiting for $what" >&2; return 1; }
    sleep 0.2
  done
}

say "1. Install packages and build (takes several minutes the first time)"
deploy/install-deps.sh --build
cmake --preset release >/dev/null
cmake --build --preset release --target quantfleetd quantfleet quantfleet-agent
bin=$PWD/build/release/bin
began=$SECONDS

say "2. Start the daemon (quantfleetd --dev)"
"$bin/quantfleetd" --dev --data "$work/daemon" --listen 127.0.0.1:0 --http 127.0.0.1:0 --check-in 1 \
  --evaluation-text tests/data/eval/held-out.txt >"$work/daemon.log" 2>&1 &
pids+=($!)
until_true "the daemon" 30 test -s "$work/daemon/endpoints.json"
export QUANTFLEET_CREDENTIAL=$work/daemon/admin.json
server=$(jq -r .grpc "$work/daemon/endpoints.json")
echo "daemon at $server, admin credential in $QUANTFLEET_CREDENTIAL"

say "3. Push the demo model and quantize it once, for ${#devices[@]} device classes"
"$bin/quantfleet" model push demo tests/data/demo-model
wanted=()
for device in "${devices[@]}"; do
  read -r _ _ _ class _ <<<"$device"
  wanted+=(--class "$class")
done
"$bin/quantfleet" job submit demo "${wanted[@]}" --watch
"$bin/quantfleet" artifact list

say "4. Enroll ${#devices[@]} devices with one token"
token=$("$bin/quantfleet" token create --uses ${#devices[@]} --description quickstart --json | jq -r .secret)
for device in "${devices[@]}"; do
  read -r name form memory class runtime <<<"$device"
  # One machine acts as all of them.
  facts=(--fact "hardware_id=$name" --fact "form=$form" --fact "memory_total_bytes=$memory")
  allowed=() at_first=()
  if [[ $runtime != own ]]; then
    allow=$(deploy/runtimes/install.sh "$runtime" "$work/runtimes/$runtime" | sed -n 's/.*--allow-runtime //p')
    allowed=(--allow-runtime "$allow")
    at_first=(--fact "runtimes=${allow%%=*}") # an agent that runs says so by itself
  fi
  QUANTFLEET_TOKEN=$token "$bin/quantfleet-agent" enroll --server "$server" --state "$work/$name" "${facts[@]}" "${at_first[@]}"
  "$bin/quantfleet-agent" start --state "$work/$name" "${facts[@]}" "${allowed[@]}" >"$work/$name.log" 2>&1 &
  pids+=($!)
done
"$bin/quantfleet" device list

say "5. Roll out the model and wait until each device has proven it healthy"
"$bin/quantfleet" rollout create demo --watch

say "6. Ask each device for the same completion"
{
  printf 'DEVICE\tCLASS\tPRECISION\tARTIFACT\tPULLED\tTOKENS/S\tTEXT\n'
  for device in "${devices[@]}"; do
    read -r name _ <<<"$device"
    id=$("$bin/quantfleet-agent" status --state "$work/$name" --json | jq -r .device_id)
    device=$("$bin/quantfleet" device show "$id" --json)
    endpoint=$(jq -r '.models[0].endpoint' <<<"$device")
    digest=$(jq -r '.models[0].active_manifest' <<<"$device")
    artifact=$("$bin/quantfleet" artifact show "$digest" --json)
    text=$(curl -sf "http://$endpoint/v1/completions" -H 'Content-Type: application/json' \
      -d '{"model":"demo","prompt":"Once upon a time","max_tokens":24,"temperature":0}' | jq -r '.choices[0].text')
    [[ -n $text ]] || { echo "quickstart: $name returned no text" >&2; exit 1; }
    jq -rn --arg name "$name" --arg text "Once upon a time$text" --argjson device "$device" --argjson artifact "$artifact" \
      '[$name, $device.device_class, $artifact.artifact.recipe,
        "\($artifact.artifact.size_bytes | tonumber / 1048576 * 10 | round / 10) MiB",
        "\($device.models[0].bytes_pulled | tonumber / 1048576 * 10 | round / 10) MiB",
        ($device.models[0].tokens_per_second | round), ($text | gsub("\n"; " "))] | @tsv'
  done
} | column -t -s $'\t'

echo
echo "done in $((SECONDS - began)) s after the build"
echo "quickstart: ok"
