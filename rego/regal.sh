#!/bin/sh
# Style and common bugs of our Rego, by regal. Without it this is skipped, and says so; in CI that is a failure.
set -eu
cd "$(dirname "$0")"
if ! command -v regal >/dev/null 2>&1; then
  echo "no regal on the PATH: 'regal lint' is SKIPPED (make tools installs it)"
  [ "${CI:-}" = true ] && exit 1
  exit 0
fi
regal lint --config-file .regal/config.yaml pdp baseline lib examples/acme/packs examples/records/packs examples/payments/packs
