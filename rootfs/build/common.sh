# shellcheck shell=bash
# What the machine has to have, and the statuses of cvm-cli: 2 wrong usage, 3 an input, 4 all else. Sourced.
export DIE_STATUS=4 # read by lib.sh

die_usage() {
    DIE_STATUS=2
    die "$*"
}

die_input() { # what was named is not there, or is something else
    DIE_STATUS=3
    die "$*"
}

need_tool() { # need_tool PROGRAM PACKAGE
    command -v "$1" >/dev/null || die "needs $1: install the package $2$([ ! -f CMakeLists.txt ] || echo " (scripts/install-deps --image)")"
}

need_space() { # need_space FOLDER MIB
    local free
    free=$(df --output=avail -BM "$1" | tail -1 | tr -dc 0-9)
    [ "$free" -ge "$2" ] || die "$1 has $free MiB free, $2 are needed"
}

# cvm-cli signs, and judges workloads: the one that called this, the agent's neighbour, one of this tree's builds (the newest),
# or the one on the path.
find_cli() {
    local found
    for found in "${CVM_CLI:-}" "${AGENT:-}/bin/cvm-cli" "$(newest_cli || true)" "$(command -v cvm-cli || true)"; do
        [ -x "$found" ] || continue
        CVM_CLI=$found
        return 0
    done
    return 1
}

newest_cli() {
    [ ! -f "$ROOT/CMakeLists.txt" ] || find "$ROOT/build" -mindepth 3 -maxdepth 3 -path '*/bin/cvm-cli' -printf '%T@ %p\n' 2>/dev/null |
        sort -n | tail -1 | cut -d' ' -f2-
}
