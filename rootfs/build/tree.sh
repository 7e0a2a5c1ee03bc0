# shellcheck shell=bash
# The root tree: what keep.list names of the packages, the libraries behind it, our units and programs. No maintainer
# script runs, so that nothing here needs root and nothing depends on the building machine.

LIBS=usr/lib/x86_64-linux-gnu

merged_usr() { # merged_usr DIR: an empty tree as Debian 12 has it
    local name
    mkdir -p "$1/usr/bin" "$1/usr/sbin" "$1/usr/lib" "$1/usr/lib64"
    for name in bin sbin lib lib64; do
        [ -e "$1/$name" ] || ln -s "usr/$name" "$1/$name"
    done
}

pool_unpack() { # pool_unpack POOL: all packages of the lock in one folder
    local name sha rest
    step "unpacking $(grep -vc '^#' "$LOCK") packages"
    merged_usr "$1"
    mkdir "$1.files"
    while read -r name _ sha rest; do
        [[ $name == \#* ]] && continue
        dpkg-deb --fsys-tarfile "$CACHE/debs/$sha.deb" |
            tar -xv -C "$1" --no-same-owner --keep-directory-symlink --exclude='./usr/share/doc/*' \
                --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' >"$1.files/$name" ||
            die "package $name cannot be unpacked"
    done <"$LOCK"
}

of_flavour() { # of_flavour FILE: its lines for this flavour, the flavour's name taken off
    sed -e 's/[[:space:]]*#.*//' -e '/^$/d' "$1" | awk -v f="$FLAVOUR" -v v="${VOLUME_MIB:+volume}" '
        $1 == "debug" || $1 == "test" || $1 == "volume" { if ($1 == f || $1 == v) { sub(/^[a-z]+ +/, ""); print } next } { print }'
}

keep() { # keep POOL TREE PATTERN
    local found path
    found=$(cd "$1" && compgen -G "$3") || die "rootfs/keep.list: no package has $3"
    while read -r path; do
        (cd "$1" && cp -a --parents --no-preserve=ownership "$path" "$2")
    done <<<"$found"
}

# Libraries by name, as the linker finds them in the image: its only folder, and that of systemd.
keep_libraries() {
    local pool=$1 tree=$2 missing name target again=yes
    while [ $again = yes ]; do
        again=no
        # readelf complains of what is no program.
        missing=$(find "$tree/usr" -type f \( -perm /111 -o -name '*.so*' \) -print0 | { xargs -0 readelf -d 2>/dev/null || true; } |
            sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p' | sort -u)
        for name in $missing; do
            [ -e "$tree/$LIBS/$name" ] || [ -e "$tree/$LIBS/systemd/$name" ] && continue
            for target in "$LIBS/$name" "$LIBS/systemd/$name"; do
                [ -e "$pool/$target" ] || continue
                mkdir -p "$tree/$(dirname "$target")"
                cp -L --preserve=mode "$pool/$target" "$tree/$target"
                again=yes
                continue 2
            done
            die "no package has the library $name"
        done
    done
}

install_units() {
    local pool=$1 tree=$2 target unit from at=usr/lib/systemd/system
    mkdir -p "$tree/$at"
    while read -r target unit; do
        for from in "$tree/$at" "$ROOT/systemd" "$pool/$at"; do
            [ ! -f "$from/$unit" ] || break
        done
        [ -f "$from/$unit" ] || die "rootfs/units.list: there is no unit $unit"
        [ "$from" = "$tree/$at" ] || cp -L "$from/$unit" "$tree/$at/$unit"
        [ "$target" != - ] || continue
        mkdir -p "$tree/$at/$target.wants"
        ln -sf "../$unit" "$tree/$at/$target.wants/$unit"
    done < <(of_flavour "$ROOT/rootfs/units.list")
    ln -sf multi-user.target "$tree/$at/default.target"
    # Units of ours that another flavour has.
    for unit in "$tree/$at"/cvm-*; do
        of_flavour "$ROOT/rootfs/units.list" | grep -q " $(basename "$unit")\$" || rm -rf "$unit"
    done
    # Old targets of packages name what is not there; nobody may add one by accident.
    for unit in ctrl-alt-del.target emergency.target rescue.target getty.target systemd-pcrphase.service \
        systemd-pcrphase-sysinit.service systemd-pcrmachine.service debug-shell.service; do
        ln -sf /dev/null "$tree/$at/$unit"
    done
}

certificates() { # certificates POOL TREE: the bundle that libcurl and GnuTLS read
    local bundle=$2/etc/ssl/certs/ca-certificates.crt
    mkdir -p "$2/etc/ssl/certs"
    find "$1/usr/share/ca-certificates" -name '*.crt' -print0 | LC_ALL=C sort -z | xargs -0 cat >"$bundle"
}

os_release() { # os_release FILE: measured in PCR 11 too, so that the flavour is seen there
    cat >"$1" <<EOF
ID=cvm-agent
NAME="cvm-agent image"
PRETTY_NAME="cvm-agent image $VERSION ($FLAVOUR)"
VERSION_ID=$VERSION
VARIANT_ID=$FLAVOUR
IMAGE_ID=cvm-agent
ID_LIKE=debian
EOF
}

install_agent() { # install_agent TREE: stripped, so that the folder it was built in does not matter
    local program
    for program in cvm-agent cvm-agent-priv cvm-agent-setup; do
        [ -x "$AGENT/bin/$program" ] || die "no program $AGENT/bin/$program: build it, or name another folder with --agent"
        objcopy --strip-all --remove-section=.note.gnu.build-id "$AGENT/bin/$program" "$1/usr/bin/$program"
        chmod 755 "$1/usr/bin/$program"
    done
    install -D -m 644 "$ROOT/systemd/cvm-agent.rules" "$1/usr/lib/udev/rules.d/60-cvm-agent.rules"
    [ "$FLAVOUR" != test ] || install_test "$1"
}

# Instead of the emulating agent, the image's own over a /dev/sev-guest that a program of the tests makes.
install_test() { # install_test TREE
    local units=$1/usr/lib/systemd/system
    install -D -m 644 "$ROOT/rootfs/test/journald.conf" "$1/usr/lib/systemd/journald.conf.d/20-test.conf"
    if [ -z "${CVM_TEST_SEV_GUEST:-}" ]; then
        install -D -m 644 "$ROOT/rootfs/test/cvm-agent.conf" "$units/cvm-agent.service.d/10-test.conf"
        return
    fi
    install -D -m 644 "$ROOT/rootfs/test/cvm-test-sev-guest.service" "$units/cvm-test-sev-guest.service"
    mkdir -p "$units/sysinit.target.wants"
    ln -sf ../cvm-test-sev-guest.service "$units/sysinit.target.wants/cvm-test-sev-guest.service"
    objcopy --strip-all --remove-section=.note.gnu.build-id "$CVM_TEST_SEV_GUEST" "$1/usr/bin/cvm-test-sev-guest"
    chmod 755 "$1/usr/bin/cvm-test-sev-guest"
}

# What the volume is sealed to and who may recover it stands in the verified root, and so in every register that the
# root's hash is in.
install_volume() { # install_volume TREE
    local unit
    objcopy --strip-all --remove-section=.note.gnu.build-id "$VOLUME_PROGRAM" "$1/usr/bin/cvm-volume"
    chmod 755 "$1/usr/bin/cvm-volume"
    mkdir -p "$1/etc/cvm-agent"
    printf '{"seal":"%s","accept_host_vtpm":%s,"workload":%s}\n' "$SEAL" "$ACCEPT_HOST_VTPM" "$WORKLOAD_ON_VOLUME" >"$1/etc/cvm-agent/volume.json"
    [ -z "$RECOVERY" ] || install -m 644 "$RECOVERY" "$1/etc/cvm-agent/recovery.pub"
    for unit in cvm-agent.service cvm-agent-priv.service; do
        install -D -m 644 "$ROOT/rootfs/volume/needs-volume.conf" "$1/usr/lib/systemd/system/$unit.d/20-volume.conf"
    done
}

tree_make() { # tree_make POOL TREE
    local pool=$1 tree=$2 pattern
    step "choosing what the root holds"
    merged_usr "$tree"
    mkdir -p "$tree"/{dev,proc,sys,run,tmp,var,data,etc,root,mnt} "$tree/usr/lib/x86_64-linux-gnu"
    while read -r pattern; do keep "$pool" "$tree" "$pattern"; done < <(of_flavour "$ROOT/rootfs/keep.list")
    cp -a --no-preserve=ownership "$ROOT/rootfs/tree/." "$tree/"
    install_units "$pool" "$tree"
    install_agent "$tree"
    [ -z "$VOLUME_MIB" ] || install_volume "$tree"
    keep_libraries "$pool" "$tree"
    cp -L "$pool/lib64/ld-linux-x86-64.so.2" "$tree/$LIBS/ld-linux-x86-64.so.2"
    ln -sf /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$tree/usr/lib64/ld-linux-x86-64.so.2"
    ln -sf ../lib/systemd/systemd "$tree/usr/sbin/init"
    for pattern in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
        ln -sf xtables-nft-multi "$tree/usr/sbin/$pattern"
    done
    ln -sf ../run/systemd/resolve/stub-resolv.conf "$tree/etc/resolv.conf"
    ln -sf ../usr/lib/os-release "$tree/etc/os-release"
    ln -sf /proc/self/mounts "$tree/etc/mtab"
    os_release "$tree/usr/lib/os-release"
    certificates "$pool" "$tree"
    tree_check "$tree"
    find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

# The packages of which something is in the image, by name: what the list of materials has. Paths of packages may still
# begin with /lib and /bin, which are links in the tree.
packages_used() { # packages_used POOL TREE
    local list
    find "$2" \( -type f -o -type l \) -printf './%P\n' | sort >"$1.tree"
    for list in "$1.files"/*; do
        [ -z "$(grep -v '/$' "$list" | sed -E 's#^\./(bin|sbin|lib|lib64)/#./usr/\1/#; s#\.ko\.xz$#.ko#' | sort | comm -12 - "$1.tree" | head -1)" ] ||
            basename "$list"
    done
    # These came by another way: the kernel and the stub are in the kernel image, the certificates in one bundle.
    grep -oE '^(linux-image-[^ ]*-cloud-amd64|systemd-boot-efi|ca-certificates)' "$LOCK"
}

# What must never be in an image of this flavour.
tree_check() {
    local name
    [ "$FLAVOUR" != debug ] || return 0
    for name in sh bash dash busybox sulogin agetty getty login sshd perl python3 apt dpkg; do
        if [ -e "$1/usr/bin/$name" ] || [ -e "$1/usr/sbin/$name" ]; then die "the root has a $name"; fi
    done
    [ ! -d "$1/usr/lib/systemd/system-generators" ] || die "the root has generators of systemd"
}
