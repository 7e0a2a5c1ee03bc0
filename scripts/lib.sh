# shellcheck shell=bash
# Shared by the scripts: progress, failure messages, the repository's root. Sourced, not run.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
STEP="start"
STARTED=$(date +%s)

step() { # step TEXT: what happens now
    STEP=$1
    printf '\n== [%3ds] %s\n' $(($(date +%s) - STARTED)) "$STEP"
}

die() { # die TEXT: a script that is a command of cvm-cli says with what status
    printf '%s%s: %s\n' "${CVM_CALLER:-}" "$(basename "$0")" "$*" >&2
    exit "${DIE_STATUS:-1}"
}

on_error() {
    printf '\n%s: FAILED in step "%s" (line %s). The output above says why.\n' "$(basename "$0")" "$STEP" "$1" >&2
    [ -z "${DIE_STATUS:-}" ] || exit "$DIE_STATUS"
}
trap 'on_error $LINENO' ERR

jobs_default() { nproc 2>/dev/null || echo 2; }
