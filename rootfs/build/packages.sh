# shellcheck shell=bash
# Packages: the lock file, and fetching what it names. Sourced by scripts/build-image.
#
# The system's own apt configuration and state are neither used nor changed: sources, lists and status lie in the cache.

MIRROR=${CVM_MIRROR:-http://deb.debian.org}
# Keeps what the mirror has dropped: ARCHIVE/TIME/pool/..., where TIME stands for the last state before it.
SNAPSHOT=${CVM_SNAPSHOT:-http://snapshot.debian.org/archive}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
LOCK=$ROOT/rootfs/packages.lock

private_apt() { # private_apt FOLDER: a configuration for apt that touches nothing outside it
    local at=$1 suite
    mkdir -p "$at/state/lists/partial" "$at/cache/archives/partial" "$at/none"
    : >"$at/status"
    {
        for suite in bookworm bookworm-updates bookworm-backports; do
            echo "deb [arch=amd64 signed-by=$KEYRING] $MIRROR/debian $suite main"
        done
        echo "deb [arch=amd64 signed-by=$KEYRING] $MIRROR/debian-security bookworm-security main"
    } >"$at/sources.list"
    cat >"$at/apt.conf" <<EOF
Dir::Etc::sourcelist "$at/sources.list"; Dir::Etc::sourceparts "$at/none";
Dir::Etc::preferences "-"; Dir::Etc::preferencesparts "$at/none"; Dir::Etc::main "-"; Dir::Etc::parts "$at/none";
Dir::State "$at/state"; Dir::State::status "$at/status"; Dir::Cache "$at/cache";
APT::Architecture "amd64"; APT::Architectures "amd64"; APT::Install-Recommends "false"; APT::Get::Assume-Yes "true";
APT::Sandbox::User ""; Acquire::Languages "none"; Acquire::Retries "3";
EOF
    apt-config dump 2>/dev/null | grep -iE '^Acquire::https?::Proxy' >>"$at/apt.conf" || true
    export APT_CONFIG=$at/apt.conf
}

wanted_packages() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$ROOT/rootfs/packages.list"; }

# One line a package: NAME VERSION SHA256 SIZE PATH-BELOW-THE-MIRROR.
lock_update() {
    local at=$CACHE/apt line name version
    need_tool apt-get apt
    [ -r $KEYRING ] || die "no $KEYRING: install debian-archive-keyring"
    step "asking the mirror for current versions"
    private_apt "$at"
    apt-get update -qq || die "the mirror $MIRROR does not answer: check the network, or set CVM_MIRROR"
    # shellcheck disable=SC2046
    apt-get install -s -qq $(wanted_packages) >"$at/plan" || die "the packages of rootfs/packages.list cannot be installed together"
    {
        echo "# Written by scripts/build-image --update-lock. NAME VERSION SHA256 SIZE PATH"
        echo "# epoch $(date +%s)"
        sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1 \2/p' "$at/plan" | LC_ALL=C sort | while read -r name version; do
            apt-cache show "$name=$version" | awk -v n="$name" -v v="$version" '
                /^SHA256:/ { sha = $2 } /^Size:/ { size = $2 } /^Filename:/ { file = $2 }
                /^$/ && sha { exit } END { print n, v, sha, size, file }'
        done
    } >"$LOCK.new"
    while read -r line; do
        [[ $line == \#* || $line =~ ^[a-z0-9.+-]+\ [^\ ]+\ [0-9a-f]{64}\ [0-9]+\ pool/[^\ ]+$ ]] || die "the mirror's answer is malformed: $line"
    done <"$LOCK.new"
    mv "$LOCK.new" "$LOCK"
    echo "$(grep -vc '^#' "$LOCK") packages in rootfs/packages.lock."
}

lock_epoch() { sed -n 's/^# epoch \([0-9]*\)$/\1/p' "$LOCK"; }

# The packages of the lock, with their digests checked, in $CACHE/debs.
packages_fetch() {
    local name version sha size path file missing=0 n=0 bytes=0
    mkdir -p "$CACHE/debs"
    while read -r name version sha size path; do
        [[ $name == \#* ]] && continue
        file=$CACHE/debs/$sha.deb
        [ -f "$file" ] && [ "$(stat -c %s "$file")" = "$size" ] && continue
        missing=$((missing + 1))
        bytes=$((bytes + size))
    done <"$LOCK"
    if [ $missing -gt 0 ]; then
        step "fetching $missing packages, $((bytes / 1000000)) MB"
        need_space "$CACHE" $((bytes / 1000000 + 50))
        while read -r name version sha size path; do
            [[ $name == \#* ]] && continue
            file=$CACHE/debs/$sha.deb
            [ -f "$file" ] && [ "$(stat -c %s "$file")" = "$size" ] && continue
            n=$((n + 1))
            [ ! -t 1 ] || printf '\r  %d of %d: %-60.60s' $n $missing "$name $version"
            fetch_one "$name $version" "$path" "$file.part"
            echo "$sha  $file.part" | sha256sum --check --status || { rm -f "$file.part"; die "$name $version: another content than rootfs/packages.lock says"; }
            mv "$file.part" "$file"
        done <"$LOCK"
        [ ! -t 1 ] || printf '\r%-78s\n' "  fetched"
    fi
    step "checking the digests of $(grep -vc '^#' "$LOCK") packages"
    awk -v d="$CACHE/debs" '!/^#/ { print $3 "  " d "/" $3 ".deb" }' "$LOCK" | sha256sum --check --quiet ||
        die "a package in $CACHE/debs is damaged: remove that file and try again"
}

fetch_one() { # fetch_one WHAT PATH OUT: from the mirror, or as it was when the lock was made
    local archive at after answer
    # Security updates lie in an archive of their own.
    for archive in debian debian-security; do
        answer=$(fetch_url "$MIRROR/$archive/$2" "$3") && return 0
        case $answer in
        absent) ;;
        silent) die "the mirror $MIRROR does not answer: check the network, or set CVM_MIRROR" ;;
        *) die "$1 cannot be fetched from $MIRROR/$archive/$2: $answer" ;;
        esac
    done
    # A package of that very day may be in the next states alone.
    for after in 0 6 24; do
        at=$(date -u -d "@$(($(lock_epoch) + after * 3600))" +%Y%m%dT%H%M%SZ)
        for archive in debian debian-security; do
            answer=$(fetch_url "$SNAPSHOT/$archive/$at/$2" "$3") && return 0
            [ "$answer" = absent ] || die "$1 is gone from $MIRROR, and nothing of it comes from $SNAPSHOT ($answer): set CVM_SNAPSHOT, or take current versions by scripts/build-image --update-lock"
        done
    done
    die "$1 is gone from $MIRROR, and $SNAPSHOT has none either: scripts/build-image --update-lock takes current versions"
}

fetch_url() { # fetch_url URL OUT: or prints why not: "absent", "silent" (nobody answers), or a sentence
    local code rc=0
    code=$(curl -fsL --retry 3 --connect-timeout 20 -o "$2" -w '%{http_code}' "$1") || rc=$?
    [ $rc != 0 ] || return 0
    rm -f "$2"
    case $rc:$code in
    22:404 | 22:410 | 37:*) echo absent ;; # 37: no such file, of a mirror that is a folder
    *:000) echo silent ;;
    22:*) echo "the answer is $code" ;;
    *) echo "the transfer broke off (curl says $rc)" ;;
    esac
    return 1
}
