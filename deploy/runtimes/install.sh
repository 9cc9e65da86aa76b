#!/usr/bin/env bash
# Installs a program that serves folders of one of the other runtimes, for `quantfleet-agent start --allow-runtime`.
#
# usage: deploy/runtimes/install.sh openvino|onnxruntime|mlx [FOLDER] [--python PYTHON]
#   FOLDER           where to; default /opt/quantfleet/RUNTIME. What an earlier call put there is replaced once the new is whole
#   --python PYTHON  a Python that has the runtime already; default: a venv in FOLDER, with what RUNTIME/requirements.txt pins by
#                    version and digest (python3 must be 3.11 or newer, and have venv)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage() { sed -n '4,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
wrong() { echo "install.sh: $1 (see --help)" >&2; exit 2; }

runtime="" folder="" python=""
while (($#)); do
  case "$1" in
    -h | --help) usage; exit 0 ;;
    --python) python=${2:-}; [[ -n $python ]] || wrong "--python needs a path"; shift ;;
    -*) wrong "unknown option $1" ;;
    *) if [[ -z $runtime ]]; then runtime=$1; elif [[ -z $folder ]]; then folder=$1; else wrong "too many arguments"; fi ;;
  esac
  shift
done
case "$runtime" in
  openvino) name=openvino-genai class=ai-pc-openvino-int4 ;;
  onnxruntime) name=onnxruntime-genai class=ai-pc-onnx-int8 ;;
  mlx) name=mlx-lm class=mac-mlx-int4 ;;
  *) wrong "the runtime is openvino, onnxruntime or mlx" ;;
esac
folder=$(realpath -m "${folder:-/opt/quantfleet/$runtime}")
if [[ -e $folder && ! -f $folder/serve.py ]]; then
  echo "install.sh: $folder exists, and nothing that this script made is in it: name another folder" >&2
  exit 1
fi

umask 022 # whoever runs the agent has to be able to read it
new=$folder.new
rm -rf "$new"
mkdir -p "$new"
trap 'rm -rf "$new"' EXIT
cp "$here"/*.py "$here/$runtime/serve.py" "$new/"
if [[ -z $python ]]; then
  python3 -m venv "$new/venv"
  "$new/venv/bin/python" -m pip install -q --disable-pip-version-check --only-binary=:all: --no-deps --require-hashes \
    -r "$here/$runtime/requirements.txt"
  python=$folder/venv/bin/python
  tried=$new/venv/bin/python
else
  python=$(realpath -s "$python") # a venv's python is a link, by which it is found
  tried=$python
fi
cat >"$new/serve" <<END
#!/bin/sh
# exec, so that signals and the memory limit reach the server itself.
exec '$python' -Es '$folder/serve.py' "\$@"
END
chmod 755 "$new/serve"
"$tried" -Es "$new/serve.py" --help >/dev/null # all that it needs can be loaded here

rm -rf "$folder.old"
[[ ! -e $folder ]] || mv "$folder" "$folder.old"
mv "$new" "$folder"
rm -rf "$folder.old"
trap - EXIT
echo "installed $folder; let the agent start it for classes such as $class:"
echo "  quantfleet-agent start --allow-runtime $name=$folder/serve"
