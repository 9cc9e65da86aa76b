#!/usr/bin/env bash
# From nothing to three different devices running one model: installs, builds, starts a daemon and three agents on this
# machine, rolls a model out, asks each device for the same completion, and stops everything again.
#
# usage: deploy/quickstart.sh [--keep]
#   --keep   keep the folder with the data and logs of the daemon and the agents, and print its path
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

keep=0
case "${1:-}" in
  "") ;;
  --keep) keep=1 ;;
  -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "quickstart: unknown option $1 (see --help)" >&2; exit 2 ;;
esac

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

say "3. Push the demo model and quantize it once, for three device classes"
"$bin/quantfleet" model push demo tests/data/demo-model
"$bin/quantfleet" job submit demo --class iot-int4 --class ai-pc-int8 --class edge-fp16 --watch
"$bin/quantfleet" artifact list

say "4. Enroll three devices with one token"
token=$("$bin/quantfleet" token create --uses 3 --description quickstart --json | jq -r .secret)
enroll() {  # NAME FACTS...
  local name=$1
  shift
  set -- --fact "hardware_id=$name" "$@" # one machine acts as three
  QUANTFLEET_TOKEN=$token "$bin/quantfleet-agent" enroll --server "$server" --state "$work/$name" "$@"
  "$bin/quantfleet-agent" start --state "$work/$name" "$@" >"$work/$name.log" 2>&1 &
  pids+=($!)
}
enroll board --fact form=iot --fact memory_total_bytes=2147483648
enroll laptop --fact form=pc --fact memory_total_bytes=17179869184
enroll gateway --fact form=edge --fact memory_total_bytes=34359738368
"$bin/quantfleet" device list

say "5. Roll out the model and wait until each device has proven it healthy"
"$bin/quantfleet" rollout create demo --watch

say "6. Ask each device for the same completion"
{
  printf 'DEVICE\tCLASS\tPRECISION\tARTIFACT\tPULLED\tTOKENS/S\tTEXT\n'
  for name in board laptop gateway; do
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
