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
