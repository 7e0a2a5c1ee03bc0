# shellcheck shell=bash
# What the machine has to have. Sourced.

die_environment() { # what is not the input's fault: tools, space, network
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 4
}

need_tool() { # need_tool PROGRAM PACKAGE
    command -v "$1" >/dev/null || die_environment "needs $1: install the package $2 (scripts/install-deps --image)"
}

need_space() { # need_space FOLDER MIB
    local free
    free=$(df --output=avail -BM "$1" | tail -1 | tr -dc 0-9)
    [ "$free" -ge "$2" ] || die_environment "$1 has $free MiB free, $2 are needed"
}
