# shellcheck shell=bash
# The kernel's modules in the root, and the initrd: our init, the modules it needs, and what it has to know.

# Names with "-" and "_" are the same to the kernel.
module_file() { # module_file NAME: path below the modules' folder
    local name=${1//-/_}
    awk -F: -v n="$name" '{ f = $1; sub(/.*\//, "", f); sub(/\.ko.*/, "", f); gsub(/-/, "_", f); if (f == n) { print $1; exit } }' \
        "$MODULES/modules.dep"
}

# The file and what it depends on, what is needed first first.
module_closure() {
    local file
    file=$(module_file "$1")
    [ -n "$file" ] || die "rootfs/modules.list: the kernel has no module $1"
    awk -v f="$file:" '$1 == f { for (i = NF; i >= 1; i--) { sub(/:$/, "", $i); print $i } }' "$MODULES/modules.dep"
}

kernel_version() {
    local found=("$1"/usr/lib/modules/*-cloud-amd64)
    if [ ${#found[@]} != 1 ] || [ ! -d "${found[0]}" ]; then die "the packages hold ${#found[@]} kernels, one is wanted"; fi
    basename "${found[0]}"
}

module_base() { basename "$1" | sed 's/\.ko.*//'; }

# Unpacked: the kernel then needs no help to load them, and the file system compresses better.
modules_install() { # modules_install POOL TREE
    local file out list
    step "choosing kernel modules"
    KERNEL=$(kernel_version "$1")
    MODULES=$1/usr/lib/modules/$KERNEL
    depmod -b "$1" "$KERNEL" || die "depmod failed on the kernel's package"
    list=$(of_flavour "$ROOT/rootfs/modules.list" | awk '{ print $NF }')
    [ "$FLAVOUR" != test ] || list+=" ${CVM_TEST_ADD_MODULE:-}"
    for file in $(for name in $list; do module_closure "$name"; done | sort -u); do
        out=$2/usr/lib/modules/$KERNEL/${file%.xz}
        mkdir -p "$(dirname "$out")"
        xz -dc "$MODULES/$file" >"$out" || die "module $file is damaged"
        tail -c 28 "$out" | grep -q 'Module signature appended' || die "module $file is not signed"
    done
    cp "$MODULES"/modules.builtin "$MODULES"/modules.builtin.modinfo "$MODULES"/modules.order "$2/usr/lib/modules/$KERNEL/"
    depmod -b "$2" "$KERNEL"
    find "$2/usr/lib/modules" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

# The lists of modules that init loads, as rootfs/initrd/boot.h has them.
boot_table() { # boot_table CMDLINE BLOCKS SALT
    local kind name names
    printf 'cmdline %s\nblocks %s\nsalt %s\n' "$1" "$2" "$3"
    printf 'load %s\n' "$(for name in $(of_flavour "$ROOT/rootfs/modules.list" | awk '$1 == "boot" { print $2 }'); do
        module_closure "$name"
    done | awk '!seen[$0]++' | while read -r f; do module_base "$f"; done | paste -sd' ')"
    of_flavour "$ROOT/rootfs/modules.list" | while read -r kind name; do
        [ "$kind" = initrd ] || continue
        names=$(module_closure "$name" | while read -r f; do module_base "$f"; done | paste -sd' ')
        awk -v n="${name//-/_}" -v l="$names" '$1 == "alias" && $3 == n && $2 ~ /:/ { print "alias " $2 " " l }' "$MODULES/modules.alias"
    done
}

initrd_make() { # initrd_make TREE WORK CMDLINE BLOCKS SALT: leaves WORK/initrd
    local tree=$1 work=$2 name file
    step "making the initrd"
    mkdir -p "$work/cpio/modules"
    install -m 755 "$INIT" "$work/cpio/init"
    boot_table "$3" "$4" "$5" >"$work/cpio/boot"
    for name in $(sed -n 's/^load //p; s/^alias [^ ]* //p' "$work/cpio/boot" | tr ' ' '\n' | sort -u); do
        file=$(module_file "$name")
        cp "$tree/usr/lib/modules/$KERNEL/${file%.xz}" "$work/cpio/modules/$name.ko"
    done
    find "$work/cpio" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} + -exec chmod go-w {} +
    (cd "$work/cpio" && find . -mindepth 1 -print0 | LC_ALL=C sort -z |
        cpio --null --create --format=newc --reproducible --owner=0:0 --quiet) | zstd -q -19 -T1 >"$work/initrd"
}
