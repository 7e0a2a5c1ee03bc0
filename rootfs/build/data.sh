# shellcheck shell=bash
# The data partition: a new ext4 with the workload folder in it, made without mounting anything.

# What the agent would refuse at start is refused here: links, devices, and names that the tool cannot be given.
workload_check() { # workload_check DIR
    local odd
    [ -d "$1" ] || die_input "cannot read the workload: there is no folder $1"
    odd=$(find "$1" ! -type f ! -type d -print -quit)
    [ -z "$odd" ] || die_input "$odd is neither a file nor a folder: a workload holds nothing else"
    odd=$(find "$1" -name '*["
\\]*' -print -quit)
    [ -z "$odd" ] || die_input "a name with a quotation mark, a backslash or a line break cannot be put on the disk: ${odd@Q}"
}

# The agent's own judgement of the files, docker-compose.yml and the policy.
workload_lint() { # workload_lint DIR
    local said
    find_cli || die "a workload is judged by cvm-cli: build it, or call this as cvm-cli $(basename "$0")"
    said=$("$CVM_CLI" policy-lint "$1" 2>&1) && return 0
    grep -E 'error: |^cvm-cli: ' <<<"$said" >&2
    die_input "the agent would refuse the workload $1: cvm-cli policy-lint explains"
}

data_make() { # data_make OUT MIB [WORKLOAD]: times and identifiers are fixed, the same folder gives the same bytes
    local out=$1 mib=$2 workload=${3:-} path
    step "making the data partition of $mib MiB"
    rm -f "$out" "$out.commands"
    truncate -s "${mib}M" "$out"
    export E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH
    mke2fs -q -F -t ext4 -b 4096 -I 256 -m 0 -L cvm-data -U "$(uuid_from data)" \
        -E "hash_seed=$(uuid_from "data seed"),lazy_itable_init=0,nodiscard,root_owner=0:0" "$out" || die "mke2fs failed"
    echo "mkdir workload" >"$out.commands"
    if [ -n "$workload" ]; then
        : >"$out.commands"
        (cd "$workload" && LC_ALL=C find . -print0 | LC_ALL=C sort -z) | while IFS= read -r -d '' path; do
            if [ -d "$workload/$path" ]; then
                [ "$path" = . ] && echo "mkdir workload" || printf 'mkdir "workload/%s"\n' "${path#./}"
            else
                printf 'write "%s" "workload/%s"\n' "$workload/${path#./}" "${path#./}"
                printf 'set_inode_field "workload/%s" mode 0100644\n' "${path#./}"
                printf 'set_inode_field "workload/%s" uid 0\nset_inode_field "workload/%s" gid 0\n' "${path#./}" "${path#./}"
            fi
        done >>"$out.commands"
    fi
    debugfs -w -f "$out.commands" "$out" >"$out.log" 2>&1 || true
    # debugfs ends with 0 whatever happened: count what it says.
    if grep -vE '^(debugfs|Allocated inode|$)' "$out.log" | grep -q .; then
        grep -vE '^(debugfs|Allocated inode|$)' "$out.log" | head -3 >&2
        die_input "cannot make the data partition: the workload does not fit into $mib MiB, or cannot be written (build-image has --data-size)"
    fi
    e2fsck -fn "$out" >"$out.log" 2>&1 || { tail -3 "$out.log" >&2; die "the data partition is damaged"; }
    unset E2FSPROGS_FAKE_TIME
    rm -f "$out.commands" "$out.log"
}

# Twice what the workload has, and room for an update that is stored beside it.
data_size() { # data_size [WORKLOAD]
    local used=0
    [ -z "${1:-}" ] || used=$(du -sm --apparent-size "$1" | cut -f1)
    echo $((64 + used * 5 / 2))
}
