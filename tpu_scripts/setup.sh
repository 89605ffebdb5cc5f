#!/usr/bin/env bash
# Install the last commit of this checkout on all workers, and mount a bucket if --bucket is set.
#
#   setup.sh --name=NAME --zone=ZONE [--project=P] [--bucket=BUCKET] [--dry-run]
#
# va_jax needs Python 3.11 or newer. If the workers have none (Ubuntu 22.04 has 3.10), uv installs 3.12.
# The bucket is mounted at ~/bucket with gcsfuse, which is installed if it is missing.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "name zone project= bucket=" "$@"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
packed=$(mktemp -d)/va_jax.tar.gz
run git -C "$root" archive --format=tar.gz "--output=$packed" HEAD
tpu tpu-vm scp "$packed" "$name:va_jax.tar.gz" --worker=all
on all "set -e; rm -rf va_jax; mkdir va_jax; tar -xzf va_jax.tar.gz -C va_jax; cd va_jax; \
for python in python3.13 python3.12 python3.11 python3; do \
\$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && \
\$python -m venv .venv && break; done; \
[ -x .venv/bin/pip ] || { curl -LsSf https://astral.sh/uv/install.sh | sh && \
~/.local/bin/uv venv --seed --python=3.12 .venv; }; \
.venv/bin/pip install --quiet -e '.[tpu]'"
if [[ -n $bucket ]]; then
  on all "command -v gcsfuse || { export GCSFUSE_REPO=gcsfuse-\$(lsb_release -c -s) \
key=/usr/share/keyrings/cloud.google.asc; echo \"deb [signed-by=\$key] https://packages.cloud.google.com/apt \$GCSFUSE_REPO main\" | \
sudo tee /etc/apt/sources.list.d/gcsfuse.list; \
curl -s https://packages.cloud.google.com/apt/doc/apt-key.gpg | sudo tee \$key > /dev/null; \
sudo apt-get -qq update && sudo apt-get -qq install gcsfuse; }"
  on all "mkdir -p bucket && { mountpoint -q bucket || gcsfuse --implicit-dirs$(quoted "$bucket") bucket; }"
fi
